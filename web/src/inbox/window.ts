// Which rows of a long list are in the page: those in sight and some around them. All rows are equally high.

export const ROW_PX = 76;
const AROUND = 8; // rows above and below, so that a quick scroll does not show a gap

export interface Slice {
  first: number;
  end: number;
}

export function inSight(scrollTop: number, height: number, count: number): Slice {
  const first = Math.max(0, Math.floor(scrollTop / ROW_PX) - AROUND);
  const end = Math.min(count, Math.ceil((scrollTop + height) / ROW_PX) + AROUND);
  return { first: Math.min(first, end), end };
}

// Where to scroll so that a row is in sight, moving as little as possible.
export function scrollTo(index: number, scrollTop: number, height: number): number {
  const top = index * ROW_PX;
  if (top < scrollTop) return top;
  return top + ROW_PX > scrollTop + height ? top + ROW_PX - height : scrollTop;
}
