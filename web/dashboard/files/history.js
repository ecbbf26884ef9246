// The rows of the feed, by column, and what is computed from them.

const kept = 900; // rows, one a second

export class History {
  constructor() { this.reset([], []); }

  // reset starts again with the rows that the server has.
  reset(columns, rows) {
    this.columns = columns;
    this.index = Object.fromEntries(columns.map((name, i) => [name, i]));
    this.rows = rows;
  }

  add(row) {
    this.rows.push(row);
    if (this.rows.length > kept) this.rows.shift();
  }

  // last is the newest value of a column.
  last(name) {
    return this.rows.length ? this.rows[this.rows.length - 1][this.index[name]] : null;
  }

  // rate is the growth of a counter per second, over the last few seconds.
  rate(name, seconds = 1) {
    const n = this.rows.length, from = this.rows[Math.max(0, n - 1 - seconds)];
    return n < 2 ? null : grown(from, this.rows[n - 1], this.index[name], this.index.time);
  }

  window(seconds) {
    const rows = this.rows.slice(-(seconds + 1));
    return rows;
  }

  times(rows) { return rows.map(r => r[this.index.time]); }

  gauge(rows, name) {
    const i = this.index[name];
    return rows.map(r => r[i]);
  }

  // rates is the growth of a counter from row to row; null where it has started again.
  rates(rows, name) {
    const i = this.index[name], t = this.index.time;
    return rows.map((r, k) => k === 0 ? null : grown(rows[k - 1], r, i, t));
  }
}

function grown(from, to, i, t) {
  const d = to[t] - from[t];
  return d > 0 && to[i] >= from[i] ? (to[i] - from[i]) / d : null;
}
