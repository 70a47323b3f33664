// A picture in a stage: zoomed and moved by wheel, fingers, mouse and keys. Its place is that of the sheet it lies on.

/** The sheet within a stage. Sizes are in pixels of the window; those of the picture are the sheet's own. */
export class Zoom {
  /** @param {any} stage @param {any} sheet @param {() => void} changed called after each change */
  constructor(stage, sheet, changed) {
    Object.assign(this, {stage, sheet, changed, width: 1, height: 1, scale: 1, x: 0, y: 0, least: 1});
    /** what a press does instead of moving the picture, @type {((event: PointerEvent) => boolean) | null} */
    this.pressed = null;
    this.pointers = new Map();
    stage.addEventListener("wheel", event => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.by(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), event.clientX, event.clientY);
    }, {passive: false});
    stage.addEventListener("pointerdown", event => this.#down(event));
    stage.addEventListener("pointermove", event => this.#move(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, event => this.pointers.delete(event.pointerId));
    new ResizeObserver(() => this.whole()).observe(stage);
  }

  /** Lay in a picture of that size, whole. */
  lay(width, height) {
    [this.width, this.height] = [width || 4, height || 3];
    this.whole();
  }

  /** Show the whole picture. */
  whole() {
    const {clientWidth, clientHeight} = this.stage;
    this.least = Math.min(clientWidth / this.width, clientHeight / this.height);
    // small pictures are blown up to twice their size, and not to a blur
    this.scale = this.least = Math.min(this.least, 2);
    this.#set();
  }

  get isWhole() {
    return this.scale <= this.least * 1.001;
  }

  /** Zoom by a factor; what is at a point of the window, by default the middle, stays there. */
  by(factor, clientX, clientY) {
    const box = this.stage.getBoundingClientRect();
    const x = (clientX ?? box.left + box.width / 2) - box.left, y = (clientY ?? box.top + box.height / 2) - box.top;
    const scale = Math.min(Math.max(this.scale * factor, this.least), Math.max(8, 4 * this.least));
    this.x = x - (x - this.x) * scale / this.scale;
    this.y = y - (y - this.y) * scale / this.scale;
    this.scale = scale;
    this.#set();
  }

  /** Move the picture by pixels of the window. */
  pan(x, y) {
    this.x += x;
    this.y += y;
    this.#set();
  }

  #set() {
    const within = (at, size, room) => (size <= room ? (room - size) / 2 : Math.min(0, Math.max(room - size, at)));
    this.x = within(this.x, this.width * this.scale, this.stage.clientWidth);
    this.y = within(this.y, this.height * this.scale, this.stage.clientHeight);
    const {style} = this.sheet;
    style.width = `${this.width * this.scale}px`;
    style.height = `${this.height * this.scale}px`;
    style.transform = `translate(${this.x}px, ${this.y}px)`;
    this.changed();
  }

  /** The point of the picture that is at a point of the window, within the picture. */
  point({clientX, clientY}) {
    const box = this.sheet.getBoundingClientRect();
    const within = (at, most) => Math.min(most, Math.max(0, at));
    return [within((clientX - box.left) / this.scale, this.width), within((clientY - box.top) / this.scale, this.height)];
  }

  #down(event) {
    if (event.button !== 0 || event.target.closest("button") || this.pressed?.(event)) return;
    this.pointers.set(event.pointerId, event);
    this.moved = false;
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const others = [...this.pointers.values()].filter(one => one.pointerId !== event.pointerId);
    this.pointers.set(event.pointerId, event);
    const away = Math.hypot(event.clientX - before.clientX, event.clientY - before.clientY);
    if (away > 2 && !this.moved) {
      this.moved = true;
      this.stage.setPointerCapture?.(event.pointerId);
    }
    if (!others.length) return this.pan(event.clientX - before.clientX, event.clientY - before.clientY);
    const [other] = others;
    const spread = one => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    this.by(spread(event) / Math.max(1, spread(before)), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
  }
}
