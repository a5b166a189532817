import { APIPromise, type Answer } from "./promise.js";
import { fromWire, isObject, toWire, type JsonObject } from "./casing.js";
import { unexpected } from "./errors.js";
import type { Call, CallOptions, Transport } from "./transport.js";

/** One page of a list. `for await` over it goes through this page and all that follow. */
export class Page<Item> implements AsyncIterable<Item> {
  readonly items: Item[];
  /** How many match in all; undefined where the server does not count. */
  readonly total: number | undefined;
  readonly #following: (() => APIPromise<Page<Item>>) | undefined;

  constructor(items: Item[], total: number | undefined, following: (() => APIPromise<Page<Item>>) | undefined) {
    this.items = items;
    this.total = total;
    this.#following = following;
  }

  get hasMore(): boolean {
    return this.#following !== undefined;
  }

  /** The page after this one, or undefined after the last. */
  async nextPage(): Promise<Page<Item> | undefined> {
    return this.#following?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    for (let page: Page<Item> | undefined = this; page !== undefined; page = await page.nextPage()) yield* page.items;
  }
}

/** A list call: `await` gives the first page, `for await` every item of every page. */
export class PagePromise<Item> extends APIPromise<Page<Item>> implements AsyncIterable<Item> {
  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    yield* await this;
  }
}

export interface PageOptions {
  /** Items of a page, not of the whole. */
  limit?: number;
  /** Where the first page begins. */
  offset?: number;
  /** The cursor after which the first page begins. */
  after?: string;
}

/** A list whose items are under `field` of the answer. */
export function list<Item>(
  transport: Transport,
  path: string,
  field: string,
  query: object,
  options: CallOptions | undefined,
): PagePromise<Item> {
  const wanted = toWire(query);
  const call: Call = { method: "GET", path, query: wanted, options };
  const read = (body: unknown): Page<Item> => {
    const page = isObject(body) ? body : {};
    const found = page[field];
    if (!Array.isArray(found) || !found.every(isObject)) throw unexpected(`the answer has no list ${field}: check the base URL`, { body });
    const items = found.map((item) => fromWire<Item>(item));
    const following = followingQuery(page, items.length, wanted);
    const total = typeof page["total"] === "number" ? page["total"] : undefined;
    return new Page(
      items,
      total,
      following &&
        (() => {
          const stays = following["after"] === wanted["after"] && following["offset"] === wanted["offset"];
          if (stays) throw unexpected(`the cursor of the list ${field} does not move on: its pages would have no end`, { body });
          return list<Item>(transport, path, field, following, options);
        }),
    );
  };
  return new PagePromise<Item>(transport.answer(call, read) as Promise<Answer<Page<Item>>>);
}

/** The query of the next page: by the server's cursor if it gives one, since an offset shifts when items are added. */
function followingQuery(page: JsonObject, length: number, query: JsonObject): JsonObject | undefined {
  if (page["next"] !== undefined) {
    if (page["next"] === null || page["has_more"] === false) return undefined;
    const { offset: _, ...rest } = query;
    return { ...rest, after: page["next"] };
  }
  const { offset, total } = page;
  if (typeof offset !== "number" || typeof total !== "number" || length === 0 || offset + length >= total) return undefined;
  return { ...query, offset: offset + length };
}
