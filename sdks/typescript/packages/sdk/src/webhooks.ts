import { fromWire, isObject } from "./casing.js";
import { WebhookVerificationError } from "./errors.js";
import type { WebhookEvent } from "./models.js";

export type WebhookHeaders = Headers | Record<string, string | string[] | undefined>;

export interface UnwrapOptions {
  /** Seconds that the sender's clock may differ, or a delivery may be old. Default 300. */
  tolerance?: number;
  /** The present moment, for tests. */
  now?: Date;
}

/**
 * Verifies a delivery by its Standard Webhooks signature and returns its event.
 *
 * `body` is the raw body, before it is parsed. Throws `WebhookVerificationError` unless one of the signatures is the
 * secret's and the delivery is recent.
 */
export async function unwrapWebhook(
  body: string | Uint8Array,
  headers: WebhookHeaders,
  secret: string,
  { tolerance = 300, now = new Date() }: UnwrapOptions = {},
): Promise<WebhookEvent> {
  const id = required(headers, "webhook-id");
  const timestamp = required(headers, "webhook-timestamp");
  const signatures = required(headers, "webhook-signature");
  if (!/^\d{1,12}$/.test(timestamp)) throw new WebhookVerificationError(`webhook-timestamp is not a number: ${timestamp.slice(0, 40)}`);
  const age = now.getTime() / 1000 - Number(timestamp);
  if (Number.isNaN(age) || Number.isNaN(tolerance)) throw new TypeError("now must be a valid date, and tolerance a number of seconds");
  if (Math.abs(age) > tolerance) {
    throw new WebhookVerificationError(`the delivery is ${Math.round(Math.abs(age))} seconds ${age > 0 ? "old" : "ahead"}; at most ${tolerance} are allowed`);
  }
  const raw = bytesOf(body);
  const signed = joined(bytesOf(`${id}.${timestamp}.`), raw);
  const key = await hmacKey(secretBytes(secret));
  let genuine = false;
  for (const word of signatures.split(" ")) {
    const [version, signature] = word.split(",", 2);
    const digest = version === "v1" && signature ? base64Bytes(signature) : undefined;
    if (digest !== undefined && (await crypto.subtle.verify("HMAC", key, digest, signed))) genuine = true;
  }
  if (!genuine) throw new WebhookVerificationError("no signature in webhook-signature is the secret's");
  let event: unknown;
  try {
    event = JSON.parse(new TextDecoder().decode(raw));
  } catch {
    throw new WebhookVerificationError("the body is not JSON");
  }
  if (!isObject(event)) throw new WebhookVerificationError("the body is not a JSON object");
  const read = fromWire<WebhookEvent>(event);
  return Object.assign(read, { data: read.data ?? {} });
}

/** Whether `signature` (the header `X-Devora-Signature`) is the secret's signature of the raw body. It has no date. */
export async function verifyWebhook(body: string | Uint8Array, signature: string, secret: string): Promise<boolean> {
  const digest = /^sha256=([0-9a-f]{64})$/i.exec(signature)?.[1];
  if (digest === undefined || typeof secret !== "string" || secret === "") return false;
  const key = await hmacKey(bytesOf(secret));
  const bytes = Uint8Array.from(digest.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return crypto.subtle.verify("HMAC", key, bytes, bytesOf(body));
}

/** The headers of a delivery, signed as the API signs it: for tests of receivers. */
export async function signWebhook(body: string, secret: string, { id, now = new Date() }: { id: string; now?: Date }): Promise<Record<string, string>> {
  const timestamp = String(Math.floor(now.getTime() / 1000));
  const signed = await crypto.subtle.sign("HMAC", await hmacKey(secretBytes(secret)), bytesOf(`${id}.${timestamp}.${body}`));
  const plain = await crypto.subtle.sign("HMAC", await hmacKey(bytesOf(secret)), bytesOf(body));
  const hex = Array.from(new Uint8Array(plain), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": `v1,${btoa(String.fromCharCode(...new Uint8Array(signed)))}`,
    "X-Devora-Signature": `sha256=${hex}`,
  };
}

function required(headers: WebhookHeaders, name: string): string {
  const value = valueOf(headers, name);
  if (!value) throw new WebhookVerificationError(`the header ${name} is missing`);
  return value;
}

function valueOf(headers: WebhookHeaders, name: string): string | undefined {
  if (typeof headers !== "object" || headers === null) return undefined;
  if (typeof (headers as Headers).get === "function") return (headers as Headers).get(name) ?? undefined;
  for (const [key, value] of Object.entries(headers as Record<string, string | string[] | undefined>)) {
    const first: unknown = Array.isArray(value) ? value[0] : value;
    if (key.toLowerCase() === name) return typeof first === "string" ? first : undefined;
  }
  return undefined;
}

/** `whsec_` and base64 stand for those bytes, any other secret for its UTF-8 bytes. */
function secretBytes(secret: string): Uint8Array<ArrayBuffer> {
  if (typeof secret !== "string" || secret === "") throw new WebhookVerificationError("the webhook secret is empty or missing");
  const encoded = secret.startsWith("whsec_") ? base64Bytes(secret.slice("whsec_".length)) : undefined;
  return encoded?.length ? encoded : bytesOf(secret);
}

function hmacKey(secret: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);
}

function bytesOf(text: string | Uint8Array): Uint8Array<ArrayBuffer> {
  if (typeof text !== "string" && !(text instanceof Uint8Array)) {
    throw new TypeError("the body must be the raw body as it was received, a string or bytes: not an object that was parsed from it");
  }
  return typeof text === "string" ? new TextEncoder().encode(text) : new Uint8Array(text);
}

function base64Bytes(text: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
