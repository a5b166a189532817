import { readFileSync } from "node:fs";

import { UsageError } from "./errors.js";

/** All of standard input. */
export function readStandardInput(): string {
  return readFileSync(0, "utf8");
}

/** The object of `--input`: inline JSON, the path of a JSON file, or `-` for standard input. */
export function readInput(value: string, option = "--input"): Record<string, unknown> {
  const inline = /^\s*[{["]/.test(value);
  const text = inline ? value : value === "-" ? readStandardInput() : readFile(value, option);
  const source = inline ? option : value === "-" ? "standard input" : value;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.replace(/^\ufeff/, ""));
  } catch (error) {
    throw new UsageError(`${source} is not JSON: ${(error as Error).message}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) throw new UsageError(`${source} must be a JSON object`);
  return parsed as Record<string, unknown>;
}

function readFile(path: string, option: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`${option} ${path}: ${(error as Error).message}; give a file, inline JSON like '{"topic": "x"}', or - for standard input`);
  }
}
