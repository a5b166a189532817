import type { JobEvent } from "@devora/sdk";

/** What people and programs read: results on standard output, progress and notes on standard error. */
export function print(text: string): void {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, process.stdout.isTTY ? 2 : undefined));
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
