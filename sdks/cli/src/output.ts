import type { JobEvent } from "@devora/sdk";

/** What people and programs read: results on standard output, progress and notes on standard error. */
export function print(text: string): void {
  const shown = process.stdout.isTTY ? visible(text) : text;
  process.stdout.write(shown.endsWith("\n") ? shown : `${shown}\n`);
}

/**
 * Text for a terminal: what would control it becomes an escape, as in JSON, so that JSON stays what it is. Lines and
 * tabs stay. What is piped stays as it came, byte for byte.
 */
function visible(text: string): string {
  return text
    .replaceAll("\r\n", "\n")
    .replace(/(?![\n\t\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (letter) => letter.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`));
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
}

/** What a person reads of an agent or a workflow: the schema of its output only with `--json`. */
export function shortened({ json }: { json: boolean }, wire: unknown): unknown {
  if (json || typeof wire !== "object" || wire === null) return wire;
  const { output_schema: _, ...rest } = wire as Record<string, unknown>;
  return rest;
}

export function note(text: string): void {
  process.stderr.write(`${plain(text)}\n`);
}

/** Text of jobs and agents without characters that control a terminal. */
export function plain(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]+/g, " ");
}

/** Rows under headings, each column as wide as its longest cell. */
export function table(headings: string[], rows: (string | number | null | undefined)[][]): string {
  const cells = [headings, ...rows.map((row) => row.map((cell) => plain(String(cell ?? "-"))))];
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ").trimEnd()).join("\n");
}

/** Draws a job's progress on a terminal; writes a line for each event where there is none. */
export class ProgressBar {
  readonly #live = process.stderr.isTTY === true;
  #drawn = false;
  #percent = 0;

  update(event: JobEvent): void {
    if (event.id === undefined) return;
    const percent = (this.#percent = event.progress ?? this.#percent);
    const line = [String(event.name), event.currentStep ?? "", event.message ?? ""].filter(Boolean).map(plain).join("  ");
    if (!this.#live) {
      process.stderr.write(`${String(percent).padStart(3)}%  ${line}\n`);
      return;
    }
    const columns = process.stderr.columns || 80;
    const bar = "█".repeat(Math.round(percent / 5)).padEnd(20, "░");
    this.clear();
    process.stderr.write(`${bar} ${String(percent).padStart(3)}%  ${line}`.slice(0, columns - 1));
    this.#drawn = true;
  }

  clear(): void {
    if (this.#drawn) process.stderr.write("\r\u001b[2K");
    this.#drawn = false;
  }
}
