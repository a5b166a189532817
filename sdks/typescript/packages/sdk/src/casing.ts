/** Objects whose keys belong to callers and authors: nothing in them is renamed. */
const OPAQUE = new Set(["input", "metadata", "data", "details", "input_schema", "output_schema", "labels"]);
/** Objects whose keys are ids; what is under each id is renamed. */
const KEYED_BY_ID = new Set(["by_agent", "by_workflow"]);

export type JsonObject = Record<string, unknown>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function camelName(name: string): string {
  return name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

export function snakeName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

const WIRE = Symbol.for("devora.wire");

/** The wire's `snake_case` fields as `camelCase`. Unknown fields stay, renamed like the others. */
export function fromWire<T>(value: unknown): T {
  return withWire(renamed(value), value) as T;
}

/** The result, which remembers what the server sent. */
export function withWire<T>(result: T, value: unknown): T {
  if (isObject(result)) Object.defineProperty(result, WIRE, { value });
  return result;
}

/** The JSON of a result as the server sent it, under the names of the wire. */
export function wireOf(result: object): unknown {
  return (result as { [WIRE]?: unknown })[WIRE];
}

function renamed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(renamed);
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  for (const [name, field] of Object.entries(value)) {
    if (OPAQUE.has(name) && !Array.isArray(field)) result[camelName(name)] = field;
    else if (KEYED_BY_ID.has(name) && isObject(field)) result[camelName(name)] = mapValues(field, renamed);
    else result[camelName(name)] = renamed(field);
  }
  return result;
}

function mapValues(value: JsonObject, change: (field: unknown) => unknown): JsonObject {
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, change(field)]));
}

/** A request's `camelCase` fields in the wire's `snake_case`; fields that are `undefined` are left out. */
export function toWire(value: object): JsonObject {
  const result: JsonObject = {};
  for (const [name, field] of Object.entries(value)) {
    if (field !== undefined) result[snakeName(name)] = name === "config" && isObject(field) ? toWire(field) : field;
  }
  return result;
}
