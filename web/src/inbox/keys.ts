// What a key means on the page. None does while something is typed, nor with a modifier that belongs to the browser.

export const KEYS = {
  j: "next", k: "previous", ArrowDown: "next", ArrowUp: "previous", Enter: "open", a: "acknowledge", e: "archive",
  x: "execute", u: "unread", z: "undo", "/": "search", "?": "help", Escape: "back",
} as const; // prettier-ignore

export type Act = (typeof KEYS)[keyof typeof KEYS];

const TYPED = "input, select, textarea, dialog, [contenteditable]";
// Keys that do something of their own on what has the focus; letters never do on a button.
const OWN = "button, summary, a";

export function keyOf(event: KeyboardEvent): Act | null {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return null;
  const act = Object.hasOwn(KEYS, event.key) ? KEYS[event.key as keyof typeof KEYS] : null;
  const target = event.target instanceof Element ? event.target : null;
  if (!act || target?.closest(TYPED)) return null;
  if (event.key === "Enter" && target?.closest(OWN)) return null;
  if (event.key.startsWith("Arrow") && target?.closest("article.detail")) return null; // scrolls what is read
  return act;
}
