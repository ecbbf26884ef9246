// Helpers for all views. Text from the server is only ever set as textContent.

// el makes an element: el('a', {href: '#'}, 'text', child).
export function el(tag, attributes = {}, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) e.addEventListener(name.slice(2), value);
    else if (name in e && name !== 'list') e[name] = value;
    else if (value !== false && value != null) e.setAttribute(name, value);
  }
  e.append(...children.filter(c => c != null));
  return e;
}

const grouped = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });

// count writes a whole number with separators.
export const count = n => grouped.format(n);

// short writes a number in few characters: 1234567 as 1.23M.
export function short(n) {
  if (n == null || !isFinite(n)) return '–';
  const units = ['', 'k', 'M', 'G', 'T'];
  let i = 0;
  while (Math.abs(n) >= 999.5 && i < units.length - 1) { n /= 1000; i++; }
  const digits = i === 0 && Number.isInteger(n) || Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : 2;
  return Number(n.toFixed(digits)) + units[i];
}

// bytes writes a size in binary units.
export function bytes(n) {
  if (n == null || !isFinite(n)) return '–';
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return Number(n.toFixed(i === 0 || n >= 100 ? 0 : 1)) + ' ' + units[i];
}

export function millis(seconds) {
  if (seconds == null || !isFinite(seconds)) return '–';
  const ms = seconds * 1000;
  return ms >= 1000 ? Number((ms / 1000).toFixed(2)) + ' s' : Number(ms.toFixed(ms < 1 ? 3 : ms < 10 ? 2 : 0)) + ' ms';
}

export function duration(seconds) {
  const d = Math.floor(seconds / 86400), h = Math.floor(seconds / 3600) % 24, m = Math.floor(seconds / 60) % 60;
  if (d > 0) return `${d} d ${h} h`;
  if (h > 0) return `${h} h ${m} min`;
  return m > 0 ? `${m} min ${Math.floor(seconds % 60)} s` : `${Math.floor(seconds)} s`;
}

let toastTimer;

export function toast(text, bad = false) {
  const t = document.getElementById('toast');
  t.textContent = text;
  t.className = bad ? 'bad' : '';
  t.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { t.hidden = true; }, bad ? 8000 : 4000);
}

// store is a storage of the browser, or the page's own memory where the browser forbids it.
export function store(kind) {
  const memory = new Map();
  const use = (inStorage, inMemory) => {
    try { return inStorage(window[kind]); } catch { return inMemory(); }
  };
  return {
    get: key => use(s => s.getItem(key), () => memory.get(key) ?? null),
    set: (key, value) => use(s => s.setItem(key, value), () => memory.set(key, value)),
    remove: key => use(s => s.removeItem(key), () => memory.delete(key)),
  };
}

// clock writes a time of day; from seconds since 1970.
export const clock = seconds => new Date(seconds * 1000).toLocaleTimeString([], { hour12: false });

// ask shows a dialog and resolves with the form's values, or null if it is cancelled.
// fields are elements with a name.
export function ask({ title, text, confirm, danger = false, fields = [] }) {
  return new Promise(resolve => {
    const form = el('form', { method: 'dialog' },
      el('h2', { id: 'ask-title' }, title),
      el('p', {}, text),
      ...fields,
      el('div', { className: 'buttons' },
        el('button', { type: 'button', onclick: () => dialog.close('') }, 'Cancel'),
        el('button', { value: 'yes', className: danger ? 'danger' : 'primary' }, confirm)));
    const dialog = el('dialog', { 'aria-labelledby': 'ask-title' }, form);
    dialog.addEventListener('close', () => {
      const values = Object.fromEntries(new FormData(form));
      dialog.remove();
      resolve(dialog.returnValue === 'yes' ? values : null);
    });
    document.body.append(dialog);
    dialog.showModal();
    if (fields.length === 0) form.querySelector('.buttons button').focus(); // Enter changes nothing
  });
}
