/** What came over the wire with a result. */
export interface Answer<T> {
  data: T;
  /** Status and headers. Its body has been read: see `body`. */
  response: Response;
  requestId: string | undefined;
  /** The parsed JSON as it was sent, fields that this version does not know included. */
  body: unknown;
}

/** The promise of a call. `await` gives its result, `withResponse()` also the HTTP answer. */
export class APIPromise<T> extends Promise<T> {
  readonly #answer: Promise<Answer<T>>;

  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  constructor(answer: Promise<Answer<T>>) {
    super((resolve, reject) => {
      answer.then(({ data }) => resolve(data), reject);
    });
    this.#answer = answer;
  }

  withResponse(): Promise<Answer<T>> {
    this.catch(() => undefined); // The caller handles the rejection of the answer instead.
    return this.#answer;
  }
}
