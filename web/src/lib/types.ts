// What the node answers, as JSON. The shapes are those of inos.core.messages: MessagePage, StoredMessage, MessageEvent.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

export interface Attachment {
  name: string;
  reference: string;
  size_bytes: number;
  media_type: string;
}

export interface Message {
  id: string;
  time_ms: number;
  agent: string;
  kind: string;
  priority: number;
  task?: string;
  role?: string;
  sender?: string;
  recipient?: string;
  reply_to?: string;
  attachments?: Attachment[];
  content: Json;
}

export const MARKS = ["read", "acknowledged", "executed", "archived"] as const;
export type MarkName = (typeof MARKS)[number];
export type State = "unread" | MarkName;

export interface Mark {
  on: boolean;
  time_ms: number;
  by: string;
}

export type Marks = { [name in MarkName]?: Mark | undefined };

export interface Stored {
  message: Message;
  seq: number;
  received_ms: number;
  state: State;
  marks: Marks;
  snippet?: string;
}

// `whole` is false where the hub could not be asked: then it is what this node keeps for its agents.
export interface Page {
  messages: Stored[];
  next: string;
  whole: boolean;
}

// `covered` is false while the hub alone has the marks, so that they would be lost with its disk.
export interface Marked {
  messages: Stored[];
  covered: boolean;
}

export interface Executed extends Stored {
  covered: boolean;
}

// A message that came in (`stored`), or marks that changed.
export interface MessageEvent {
  id: string;
  seq: number;
  stored?: Stored;
  state?: State;
  marks?: Marks;
}

// What the node knows of the hub: `hub` names its corpus, "" when none is known.
export interface Report {
  hub: string;
  reachable: boolean;
  unread: number;
}

// The furthest of the marks that are set.
export function stateOf(marks: Marks): State {
  return MARKS.findLast((name) => marks[name]?.on) ?? "unread";
}
