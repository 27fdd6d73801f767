/** What the server, or the way to it, said no with. `code` is stable; `recoverable` says whether trying again may help. */
export class IbidError extends Error {
  constructor(code, message, details = {}, recoverable = false) {
    super(message);
    this.name = "IbidError";
    this.code = code;
    this.details = details;
    this.recoverable = recoverable;
  }
}
