// Line charts with uPlot, which a classic script has put into the window.
import { clock, el } from './ui.js';

const synced = window.uPlot.sync('dashboard'); // one cursor for all charts

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Steps of an axis: whole KiB, MiB, GiB for bytes, whole numbers for counts.
const powers = Array.from({ length: 50 }, (_, i) => 2 ** i);
const wholes = Array.from({ length: 12 }, (_, i) => [1, 2, 5].map(n => n * 10 ** i)).flat();
export const steps = { bytes: powers, count: wholes };

const labelRoom = 28; // px: a time nearer to the left edge would touch the 0 there

// Chart shows lines over time, with a legend of the newest values, or those under the
// cursor. format writes a value; incrs, if given, are the steps of its axis.
export class Chart {
  constructor(title, format, incrs) {
    this.format = format;
    this.incrs = incrs;
    this.names = null;
    this.plot = null;
    this.box = el('div', { className: 'plot', role: 'img' });
    this.legend = el('ul', { className: 'legend' });
    this.title = title;
    this.when = el('time', { className: 'quiet' });
    this.element = el('section', { className: 'card chart' }, el('h2', {}, title), this.when, this.box, this.legend);
    this.sizer = new ResizeObserver(() => this.resize());
    this.sizer.observe(this.box);
    this.restyle = () => this.rebuild();
    addEventListener('themechange', this.restyle);
  }

  destroy() {
    this.sizer.disconnect();
    removeEventListener('themechange', this.restyle);
    this.plot?.destroy();
  }

  resize() {
    if (this.plot && this.box.clientWidth > 0) this.plot.setSize(this.size());
  }

  size() { return { width: Math.max(200, this.box.clientWidth), height: 170 }; }

  // show draws the lines: an object of arrays by name.
  show(times, lines) {
    const names = Object.keys(lines);
    this.data = [times, ...names.map(n => lines[n])];
    if (!this.plot || names.join() !== this.names.join()) {
      this.names = names;
      this.rebuild();
    } else {
      this.plot.setData(this.data);
    }
    this.tell();
    const newest = names.map(n => `${n} ${this.format(lines[n].at(-1))}`).join(', ');
    this.box.setAttribute('aria-label', `${this.title}: ${newest}`);
  }

  rebuild() {
    if (!this.names) return;
    this.plot?.destroy();
    const ink = css('--quiet'), grid = { stroke: css('--grid'), width: 1 };
    const axis = { stroke: ink, grid, ticks: { show: false }, font: '11px system-ui', labelFont: '11px system-ui' };
    this.plot = new window.uPlot({
      ...this.size(),
      padding: [8, 24, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: synced.key }, drag: { x: false, y: false }, points: { size: 6 } },
      hooks: { setCursor: [() => this.tell()] },
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [
        { ...axis, size: 26, space: 80, incrs: [1, 5, 10, 15, 30, 60, 120, 300, 600],
          values: (plot, ticks) => ticks.map(t => plot.valToPos(t, 'x') < labelRoom ? '' : clock(t)) },
        { ...axis, size: 66, space: 34, ...(this.incrs && { incrs: this.incrs }), values: (_, ticks) => ticks.map(this.format) },
      ],
      series: [{}, ...this.names.map((name, i) => ({
        label: name, stroke: css(`--line${i % 8 + 1}`), width: 1.6, points: { show: false },
        fill: this.names.length === 1 ? css('--fill') : undefined,
      }))],
    }, this.data, this.box);
    this.legend.replaceChildren(...this.names.map((name, i) => el('li', {},
      el('i', { className: `line${i % 8 + 1}` }), name + ' ', el('b', {}))));
    this.tell();
  }

  // tell shows values in the legend, and the time of the point under the cursor.
  tell() {
    if (!this.plot || !this.data) return;
    const pointed = this.plot.cursor.idx, at = pointed ?? this.data[0].length - 1;
    this.when.textContent = pointed == null || this.data[0][pointed] == null ? '' : clock(this.data[0][pointed]);
    this.legend.querySelectorAll('b').forEach((b, i) => { b.textContent = this.format(this.data[i + 1]?.[at]); });
  }
}
