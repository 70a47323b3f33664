// A picture in a stage: zoomed and moved by wheel, fingers, mouse and keys. Its place is that of the sheet it lies on.

/** Where arrows lead: across and down. */
export const STEPS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

export const within = (value, least, most) => Math.min(most, Math.max(least, value));

/** The sheet within a stage. Sizes are in pixels of the window; those of the picture are the sheet's own. */
export class Zoom {
  /** What a press does instead of moving the picture, if it returns true. */
  pressed = () => false;
  pointers = new Map();
  width = 1;
  height = 1;
  scale = 1;
  x = 0;
  y = 0;
  least = 1;

  /** `changed` is called after each change. */
  constructor(stage, sheet, changed) {
    Object.assign(this, {stage, sheet, changed});
    stage.addEventListener("wheel", event => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.by(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), event.clientX, event.clientY);
    }, {passive: false});
    stage.onpointerdown = event => this.#down(event);
    stage.onpointermove = event => this.#move(event);
    stage.onpointerup = stage.onpointercancel = event => this.pointers.delete(event.pointerId);
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
    // small pictures are blown up to twice their size, and not to a blur
    this.scale = this.least = Math.min(clientWidth / this.width, clientHeight / this.height, 2);
    this.pan(0, 0);
  }

  get isWhole() {
    return this.scale <= this.least * 1.001;
  }

  /** Zoom by a factor; what is at a point of the window, by default the middle, stays there. */
  by(factor, clientX, clientY) {
    const {left, top, width, height} = this.stage.getBoundingClientRect();
    const x = (clientX ?? left + width / 2) - left, y = (clientY ?? top + height / 2) - top;
    const scale = within(this.scale * factor, this.least, Math.max(8, 4 * this.least));
    this.x = x - (x - this.x) * scale / this.scale;
    this.y = y - (y - this.y) * scale / this.scale;
    this.scale = scale;
    this.pan(0, 0);
  }

  /** Move the picture by pixels of the window, as far as it can be. */
  pan(x, y) {
    const put = (at, size, room) => (size <= room ? (room - size) / 2 : within(at, room - size, 0));
    const width = this.width * this.scale, height = this.height * this.scale;
    this.x = put(this.x + x, width, this.stage.clientWidth);
    this.y = put(this.y + y, height, this.stage.clientHeight);
    Object.assign(this.sheet.style, {
      width: `${width}px`, height: `${height}px`, transform: `translate(${this.x}px, ${this.y}px)`,
    });
    // a pixel of the window in those of the picture
    this.sheet.style.setProperty("--pixel", `${1 / this.scale}px`);
    this.changed();
  }

  /** Return the point of the picture that is at a point of the window, within the picture. */
  point({clientX, clientY}) {
    const {left, top} = this.sheet.getBoundingClientRect();
    return [within((clientX - left) / this.scale, 0, this.width), within((clientY - top) / this.scale, 0, this.height)];
  }

  #down(event) {
    if (event.button !== 0 || event.target.closest("button") || this.pressed(event)) return;
    this.pointers.set(event.pointerId, event);
    this.moved = false;
  }

  #move(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const other = [...this.pointers.values()].find(one => one.pointerId !== event.pointerId);
    const [x, y] = [event.clientX - before.clientX, event.clientY - before.clientY];
    this.pointers.set(event.pointerId, event);
    if (Math.hypot(x, y) > 2 && !this.moved) {
      this.moved = true;
      this.stage.setPointerCapture(event.pointerId);
    }
    if (!other) return this.pan(x, y);
    const spread = one => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    this.by(spread(event) / Math.max(1, spread(before)), (event.clientX + other.clientX) / 2, (event.clientY + other.clientY) / 2);
  }
}
