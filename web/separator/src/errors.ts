/** Says in one line what is wrong, for a person to read; `code` says it to a program. */
export class SeparatorError extends Error {
  override readonly name = "SeparatorError";

  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** The message of anything thrown, in one line. */
export function inOneLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim();
}
