// Server-sent events out of a stream of text, cut anywhere. Comments and fields that are not known are passed over.

export interface ServerEvent {
  event: string;
  id: string;
  data: string;
}

export class EventParser {
  #rest = "";
  #event = "";
  #data: string[] = [];
  // The last id seen: what a stream is resumed with.
  lastId = "";

  push(text: string): ServerEvent[] {
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    return lines.map((line) => this.#line(line)).filter((event) => event !== null);
  }

  #line(line: string): ServerEvent | null {
    if (line === "") return this.#end();
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (name === "event") this.#event = value;
    if (name === "data") this.#data.push(value);
    if (name === "id") this.lastId = value;
    return null;
  }

  #end(): ServerEvent | null {
    const found = this.#data.length ? { event: this.#event || "message", id: this.lastId, data: this.#data.join("\n") } : null;
    this.#event = "";
    this.#data = [];
    return found;
  }
}
