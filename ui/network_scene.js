// A network in three dimensions: one box per layer along the flow, by three.js. Needs `THREE`; `drawNetwork` is used by
// the page and by the downloaded file.

const GAP = 0.7;
const ROW = 10; // more layers than this in one row are too small to hit
const GRAY = "#9aa0a6";
const SCALE = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"]; // viridis
const TURN = Math.PI / 24;
const STEP = 0.9;
const FREE = 1.35; // the tools are above the network, the legend below it

const share = (value) => `${format(100 * value)}%`;
const COLORS = {
  parameters: { words: "Parameters", of: (layer) => layer.parameters || null, log: true, text: format },
  used: { words: "Health: units used", text: share, ends: [0, 1],
    of: (layer) => (layer.seen?.units ? layer.seen.used / layer.seen.units : null) },
  gradient: { words: "Mean gradient", of: (layer) => layer.seen?.gradient || null, log: true, text: format },
  mean: { words: "Activations: mean", of: (layer) => layer.seen?.activations?.[0] ?? null, text: format },
  spread: { words: "Activations: standard deviation", of: (layer) => layer.seen?.activations?.[1] ?? null, text: format },
  zeros: { words: "Activations: zeros", of: (layer) => layer.seen?.activations?.[2] ?? null, text: share, ends: [0, 1] },
};

function drawNetwork(root, data) {
  const drawn = JSON.stringify(data);
  if (root.scene?.drawn === drawn) return root.scene.leave;
  const chosen = root.scene?.chosen() ?? 0;
  let color = root.scene?.color() ?? "parameters";
  root.scene?.leave();
  root.replaceChildren();
  const stage = add(root, "div", "stage");
  const side = add(root, "div", "side");
  const list = add(side, "ul", "list");
  const details = add(side, "div", "details");
  const tools = add(stage, "div", "tools");
  const view = new View(stage, data, (index) => choose(index));
  let current = 0;

  const choose = (index, focus = true) => {
    current = index;
    [...list.children].forEach((item, number) => item.setAttribute("aria-selected", number === index));
    if (focus) {
      const item = list.children[index];
      const [top, bottom] = [list.scrollTop, list.scrollTop + list.clientHeight];
      const place = item.offsetTop - list.offsetTop;
      if (place < top || place + item.offsetHeight > bottom) list.scrollTop = place - list.clientHeight / 2;
    }
    list.setAttribute("aria-activedescendant", list.children[index].id);
    describe(details, data.layers[index]);
    view.choose(index);
  };
  list.tabIndex = 0;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Layers");
  data.layers.forEach((layer, index) => {
    const item = add(list, "li", "", `${index + 1}. ${nameOf(layer)}: ${layer.type}`);
    item.id = `layer-${index}`;
    item.setAttribute("role", "option");
    item.onclick = () => choose(index);
  });
  list.onkeydown = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    choose(Math.min(Math.max(current + step, 0), data.layers.length - 1));
  };

  const select = add(tools, "select", "");
  select.setAttribute("aria-label", "Color by");
  for (const [key, { words, of }] of Object.entries(COLORS)) {
    const option = add(select, "option", "", `Color: ${words}`);
    option.value = key;
    option.disabled = !data.layers.some((layer) => of(layer) !== null);
  }
  if (select.querySelector(`[value=${color}]`).disabled) color = "parameters";
  select.value = color;
  select.onchange = () => view.color((color = select.value));
  const reset = add(tools, "button", "", "Reset view");
  reset.onclick = () => view.reset();
  view.color(color);
  choose(Math.min(chosen, data.layers.length - 1));
  root.scene = { drawn, leave: () => { view.leave(); root.scene = undefined; }, chosen: () => current, color: () => color };
  return root.scene.leave;
}

class View {
  constructor(stage, data, onChoose) {
    this.stage = stage;
    this.layers = data.layers;
    this.canvas = add(stage, "canvas", "");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${data.title}: ${data.layers.length} layers. Arrow keys turn, + and - zoom.`);
    this.legend = add(stage, "div", "legend");
    add(stage, "div", "hint",
      "Drag to turn, scroll to zoom, click a layer; or arrow keys and + −. " +
      "Sizes are logarithmic: depth for channels or features, face for height × width or positions.");
    try {
      this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: true, alpha: true });
    } catch {
      this.canvas.remove();
      add(stage, "div", "label", "This browser has no WebGL, so the layers are listed and not drawn.").style.cssText =
        "left:50%;top:50%";
      return;
    }
    this.renderer.setPixelRatio(Math.min(globalThis.devicePixelRatio, 2));
    this.scene = new THREE.Scene();
    this.scene.add(new THREE.AmbientLight(0xffffff, 1.6));
    const sun = new THREE.DirectionalLight(0xffffff, 1.8);
    sun.position.set(-4, 9, 12);
    this.scene.add(sun);
    this.camera = new THREE.PerspectiveCamera(38, 1, 0.1, 2000);
    this.build();
    this.controls = new THREE.OrbitControls(this.camera, this.canvas);
    this.controls.addEventListener("change", () => this.draw());
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    let pressed = null;
    this.canvas.addEventListener("pointerdown", (event) => { pressed = [event.clientX, event.clientY]; });
    this.canvas.addEventListener("pointerup", (event) => {
      if (!pressed || Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) > 5) return;
      const hit = this.hit(event);
      if (hit !== null) onChoose(hit);
    });
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(stage);
    this.resize();
    this.reset();
  }

  build() {
    const sizes = this.layers.map((layer) => sizeOf(layer.output_shape));
    const rows = Math.ceil(this.layers.length / ROW);
    const perRow = Math.ceil(this.layers.length / rows);
    const deepest = Math.max(...sizes.map((size) => size[2]));
    let x = 0;
    this.boxes = this.layers.map((layer, index) => {
      if (index % perRow === 0) x = 0;
      const [width, height, depth] = sizes[index];
      const geometry = new THREE.BoxGeometry(width, height, depth);
      const box = new THREE.Mesh(geometry, new THREE.MeshLambertMaterial());
      box.position.set(x + width / 2, 0, Math.floor(index / perRow) * (deepest + 3.5));
      box.add(new THREE.LineSegments(new THREE.EdgesGeometry(geometry), new THREE.LineBasicMaterial({ color: 0x777777 })));
      box.userData.index = index;
      x += width + GAP;
      this.scene.add(box);
      return box;
    });
    const points = this.boxes.flatMap((box) => box.position.toArray());
    const flow = new THREE.BufferGeometry();
    flow.setAttribute("position", new THREE.Float32BufferAttribute(points, 3));
    this.scene.add(new THREE.Line(flow, new THREE.LineBasicMaterial({ color: 0x888888 })));
    this.labels = this.layers.map((layer, index) => {
      const label = add(this.stage, "div", "label", `${index + 1}. ${layer.type}`);
      label.dataset.layer = index;
      return label;
    });
  }

  choose(index) {
    if (!this.renderer) return;
    this.chosen = index;
    this.boxes.forEach((box, number) => {
      const edges = box.children[0].material;
      edges.color.set(number === index ? 0xff7f0e : 0x777777);
      box.material.emissive.set(number === index ? 0x333333 : 0x000000);
    });
    this.draw();
  }

  color(key) {
    const { words, of, log, text, ends } = COLORS[key];
    const values = this.layers.map(of);
    const known = values.filter((value) => value !== null);
    const [low, high] = ends ?? [Math.min(...known), Math.max(...known)];
    const place = (value) => {
      const [a, b, v] = log ? [low, high, value].map(Math.log) : [low, high, value];
      return b > a ? (v - a) / (b - a) : 0.5;
    };
    this.boxes?.forEach((box, index) => {
      box.material.color.set(values[index] === null ? GRAY : mix(place(values[index])));
    });
    this.legend.replaceChildren();
    add(this.legend, "div", "", words + (log ? " (log scale)" : ""));
    const bar = add(this.legend, "div", "bar");
    bar.style.background = `linear-gradient(to right, ${SCALE.join(",")})`;
    const row = add(this.legend, "div", "ends");
    add(row, "span", "", known.length ? text(low) : "–");
    add(row, "span", "", known.length ? text(high) : "–");
    if (known.length < values.length) add(this.legend, "div", "", "Gray: none, or not measured");
    this.draw();
  }

  hit(event) {
    const frame = this.canvas.getBoundingClientRect();
    const point = new THREE.Vector2(
      ((event.clientX - frame.left) / frame.width) * 2 - 1, 1 - ((event.clientY - frame.top) / frame.height) * 2);
    const ray = new THREE.Raycaster();
    ray.setFromCamera(point, this.camera);
    const found = ray.intersectObjects(this.boxes, false);
    return found.length ? found[0].object.userData.index : null;
  }

  key(event) {
    const turn = { ArrowLeft: [-TURN, 0], ArrowRight: [TURN, 0], ArrowUp: [0, -TURN], ArrowDown: [0, TURN] }[event.key];
    const zoom = { "+": STEP, "=": STEP, "-": 1 / STEP }[event.key];
    if (!turn && !zoom) return;
    event.preventDefault();
    const offset = this.camera.position.clone().sub(this.controls.target);
    if (zoom) offset.multiplyScalar(zoom);
    if (turn) {
      const around = new THREE.Spherical().setFromVector3(offset);
      around.theta += turn[0];
      around.phi = Math.min(Math.max(around.phi + turn[1], 0.05), Math.PI - 0.05);
      offset.setFromSpherical(around);
    }
    this.camera.position.copy(this.controls.target).add(offset);
    this.controls.update();
    this.draw();
  }

  reset() {
    if (!this.renderer) return;
    const bounds = new THREE.Box3();
    this.boxes.forEach((box) => bounds.expandByObject(box));
    const center = bounds.getCenter(new THREE.Vector3());
    const direction = new THREE.Vector3(-0.3, 0.75, 1).normalize();
    this.controls.target.copy(center);
    // Perspective grows as the camera comes closer, so the distance takes a few iterations.
    let distance = bounds.getSize(new THREE.Vector3()).length() * 3;
    for (let step = 0; step < 4; step += 1) {
      this.camera.position.copy(center).addScaledVector(direction, distance);
      this.camera.lookAt(center);
      this.camera.updateMatrixWorld();
      let filled = 0.02;
      for (const x of [bounds.min.x, bounds.max.x])
        for (const y of [bounds.min.y, bounds.max.y])
          for (const z of [bounds.min.z, bounds.max.z]) {
            const seen = new THREE.Vector3(x, y, z).project(this.camera);
            filled = Math.max(filled, Math.abs(seen.x), Math.abs(seen.y) * FREE);
          }
      distance *= filled * 1.06;
    }
    this.camera.position.copy(center).addScaledVector(direction, distance);
    this.controls.update();
    this.draw();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  draw() {
    if (!this.renderer || !this.boxes) return;
    this.renderer.render(this.scene, this.camera);
    this.place();
  }

  // Labels above the boxes: the chosen one first, then those that do not overlap earlier ones.
  place() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    const taken = [];
    const order = this.boxes.map((_, index) => index).sort((a, b) => (b === this.chosen) - (a === this.chosen));
    for (const index of order) {
      const [box, label] = [this.boxes[index], this.labels[index]];
      const middle = box.position.clone().project(this.camera);
      const top = box.position.clone().setY(box.geometry.parameters.height / 2 + 0.15).project(this.camera);
      label.dataset.x = ((middle.x + 1) / 2) * width;
      label.dataset.y = ((1 - middle.y) / 2) * height;
      const [x, y] = [((top.x + 1) / 2) * width, ((1 - top.y) / 2) * height];
      const half = 3.4 * label.textContent.length + 4;
      const free = taken.every(([otherX, otherY, other]) => Math.abs(x - otherX) > half + other || Math.abs(y - otherY) > 18);
      const inside = x - half > 0 && x + half < width && y > 60 && y < height - 8;
      label.hidden = !(free && inside);
      label.classList.toggle("chosen", index === this.chosen);
      if (label.hidden) continue;
      taken.push([x, y, half]);
      label.style.left = `${x}px`;
      label.style.top = `${y}px`;
    }
  }

  leave() {
    this.observer?.disconnect();
    this.controls?.dispose();
    this.boxes?.forEach((box) => { box.geometry.dispose(); box.material.dispose(); });
    this.renderer?.dispose();
    this.renderer?.forceContextLoss();
    this.renderer = undefined;
  }
}

// Width along the flow, height and depth of a layer's box; the first axis of a shape is the rows.
function sizeOf(shape) {
  const scaled = (count, scale) => 0.25 + scale * Math.log2(1 + count);
  if (!shape || shape.length < 2) return [0.5, 0.5, 0.5];
  if (shape.length === 2) return [0.35, scaled(shape[1], 0.4), 0.35];
  if (shape.length === 3) return [scaled(shape[2], 0.12), scaled(shape[2], 0.3), scaled(shape[1], 0.4)];
  return [scaled(shape[1], 0.16), scaled(shape.at(-2), 0.7), scaled(shape.at(-1), 0.7)];
}

function describe(place, layer) {
  place.replaceChildren();
  add(place, "h3", "", nameOf(layer));
  const facts = add(place, "dl", "");
  const fact = (name, value) => { add(facts, "dt", "", name); add(facts, "dd", "", value); };
  fact("Type", layer.type);
  if (layer.settings) fact("Settings", layer.settings);
  fact("Input", layer.input_shapes.map(shapeOf).join(", ") || "–");
  fact("Output", shapeOf(layer.output_shape));
  fact("Parameters", layer.parameters.toLocaleString("en"));
  if (layer.parameters) fact("Trained", layer.trainable.toLocaleString("en"));
  for (const [name, shape] of Object.entries(layer.parameter_shapes)) fact(name, shape.join(" × ") || "one value");
  const seen = layer.seen;
  if (!seen) return;
  if (seen.units) fact("Units used", `${seen.used} of ${seen.units} (${share(seen.used / seen.units)})`);
  if (seen.gradient !== null) fact("Mean gradient", format(seen.gradient));
  if (seen.activations) {
    fact("Activations", `${format(seen.activations[0])} ± ${format(seen.activations[1])}`);
    fact("Zeros", share(seen.activations[2]));
  }
}

function nameOf(layer) {
  return layer.name || "(the network itself)";
}

function shapeOf(shape) {
  return shape ? shape.slice(1).join(" × ") || "one value per row" : "–";
}

function format(value) {
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return String(Number(value.toPrecision(4)));
}

function mix(part) {
  const place = Math.min(Math.max(part, 0), 1) * (SCALE.length - 1);
  const low = Math.min(Math.floor(place), SCALE.length - 2);
  return new THREE.Color(SCALE[low]).lerp(new THREE.Color(SCALE[low + 1]), place - low);
}

function add(parent, tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  parent.append(made);
  return made;
}
