import { SeparatorError } from "./errors.js";

/** Lets one call of a separator in at a time, and none once it was released. */
export class Turns {
  released = false;
  #busy = false;

  async take<T>(work: () => Promise<T>): Promise<T> {
    if (this.released)
      throw new SeparatorError("released", "this separator was released; load the model again");
    if (this.#busy)
      throw new SeparatorError("busy", "this separator is at work; wait for it, or load another");
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }
}
