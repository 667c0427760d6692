// What a message says, for a list and for reading. Everything stays text: nothing in a message is ever markup.
import type { Json } from "../lib/types";

export interface Said {
  title: string;
  text: string;
  rest: { [name: string]: Json } | Json[] | null; // what is neither, to be shown as JSON
}

const PREVIEW_LENGTH = 200;

// Fields that programs use for what a person should read, best first.
const TITLES = ["title", "subject"];
const TEXTS = ["text", "body", "message", "summary"];

export function said(content: Json): Said {
  if (content === null) return { title: "", text: "", rest: null };
  if (Array.isArray(content)) return { title: "", text: "", rest: content };
  if (typeof content !== "object") return { title: "", text: String(content), rest: null };
  const taken = [TITLES, TEXTS].map((names) => names.find((name) => typeof content[name] === "string" && content[name]));
  const [title, text] = taken.map((name) => (name === undefined ? "" : String(content[name])));
  const rest = Object.entries(content).filter(([name]) => !taken.includes(name));
  return { title: title ?? "", text: text ?? "", rest: rest.length ? Object.fromEntries(rest) : null };
}

// Two lines of a list: what it is about, and how it begins. Control characters and ends of lines become spaces.
export function headline(content: Json): { title: string; preview: string } {
  const { title, text, rest } = said(content);
  const json = rest && !(title && text) ? JSON.stringify(rest).slice(0, 4 * PREVIEW_LENGTH) : "";
  const lines = [title, ...text.slice(0, 8 * PREVIEW_LENGTH).split("\n"), json].map(oneLine).filter(Boolean);
  const [first = "(empty)", ...others] = lines;
  return { title: first.slice(0, PREVIEW_LENGTH), preview: others.join(" ").slice(0, PREVIEW_LENGTH) };
}

export function oneLine(text: string): string {
  return spaced(text).trim();
}

function spaced(text: string): string {
  return text.replace(/[\p{Cc}\s]+/gu, " ");
}

export interface Segment {
  text: string;
  found: boolean;
}

// A snippet on one line, cut at its marks: what was found stands between \x02 and \x03.
export function segments(snippet: string): Segment[] {
  const parts: Segment[] = [];
  for (const part of snippet.split("\x02")) {
    const end = parts.length || snippet.startsWith("\x02") ? part.indexOf("\x03") : -1;
    if (end >= 0) parts.push({ text: part.slice(0, end), found: true });
    parts.push({ text: part.slice(end + 1).replaceAll("\x03", ""), found: false });
  }
  return parts.filter((part) => part.text).map(({ text, found }) => ({ text: spaced(text), found }));
}
