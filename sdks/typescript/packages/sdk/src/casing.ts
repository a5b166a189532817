/** Objects whose keys belong to callers and authors: nothing in them is renamed. */
const OPAQUE = new Set(["input", "metadata", "data", "details", "labels", "values", "decides", "input_schema", "output_schema"]);
/** Objects whose keys are ids; what is under each id is renamed. */
const KEYED_BY_ID = new Set(["by_agent", "by_workflow"]);
/** Fields of requests whose own fields are renamed, too. */
const NAMED = new Set(["config", "spec", "intervals", "calendars", "skip"]);
const DEEPEST = 200;

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

function renamed(value: unknown, depth = 0): unknown {
  if (depth > DEEPEST) return value; // no type of the API is as deep, and a deeper one would exhaust the stack
  if (Array.isArray(value)) return value.map((item) => renamed(item, depth + 1));
  if (!isObject(value)) return value;
  // Entries and no assignments, so that a field `__proto__` is a field like any other.
  return Object.fromEntries(
    Object.entries(value).map(([name, field]) => {
      if (OPAQUE.has(name) && (name === "details" || !Array.isArray(field))) return [camelName(name), field];
      if (KEYED_BY_ID.has(name) && isObject(field)) return [camelName(name), mapValues(field, (each) => renamed(each, depth + 2))];
      return [camelName(name), renamed(field, depth + 1)];
    }),
  );
}

function mapValues(value: JsonObject, change: (field: unknown) => unknown): JsonObject {
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, change(field)]));
}

/** A request's `camelCase` fields in the wire's `snake_case`; fields that are `undefined` are left out. */
export function toWire(value: object): JsonObject {
  const result: JsonObject = {};
  for (const [name, field] of Object.entries(value)) {
    if (field !== undefined) result[snakeName(name)] = NAMED.has(name) ? inside(field) : field;
  }
  return result;
}

function inside(field: unknown): unknown {
  if (Array.isArray(field)) return field.map(inside);
  return isObject(field) ? toWire(field) : field;
}
