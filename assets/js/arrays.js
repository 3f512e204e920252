// What typed arrays lack.

/** The array, or a longer copy of it that has room for so many values; new ones are `fill`. */
export function grown(array, length, fill) {
  if (array.length >= length) return array;
  const next = new array.constructor(Math.max(length, 2 * array.length, 1024)).fill(fill);
  next.set(array);
  return next;
}

/** The first of the ascending values that is not below the wanted one. */
export function lowest(values, length, wanted) {
  let low = 0, high = length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}
