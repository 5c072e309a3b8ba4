"use strict";
// The viewer of cases: choices above, one NiiVue canvas per modality and label map below, all of them linked.
const catalogue = JSON.parse(document.getElementById("catalogue").textContent);
const at = (id) => document.getElementById(id);
let asked = new URLSearchParams(location.hash.slice(1));

// Volumes come as scripts: a page that was opened from a disk may read no other files.
const arrived = new Map();
const under_way = new Map();
globalThis.volume = (name, content) => arrived.set(name, content);

function content(name) {
  if (!under_way.has(name)) {
    under_way.set(name, new Promise((done, failed) => {
      const tag = document.createElement("script");
      tag.src = `volumes/${name}.js`;
      tag.onload = () => done(arrived.get(name));
      tag.onerror = () => failed(new Error(`volumes/${name}.js cannot be read`));
      document.head.append(tag);
    }));
  }
  return under_way.get(name);
}

// ---- choices

function fill(select, options, wanted) {
  select.replaceChildren(...options.map(([value, text]) => new Option(text, value)));
  if (options.some(([value]) => value === wanted)) select.value = wanted;
}

const distinct = (values) => [...new Set(values)];
const dice = (value) => (value === undefined ? "no prediction" : `Dice ${value.toFixed(3)}`);
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const of_dataset = () => catalogue.places.filter((place) => place.dataset === at("dataset").value);
const of_condition = () => of_dataset().filter((place) => place.condition === at("condition").value);
const chosen = () => of_condition().find((place) => place.case === at("case").value);
const prediction_of = (place, key) => place.predictions.find((one) => one.key === key);

function fill_datasets() {
  const names = distinct(catalogue.places.map((place) => place.dataset));
  fill(at("dataset"), names.map((name) => [name, catalogue.datasets[name].title]), asked.get("dataset"));
}

function fill_conditions() {
  const places = of_dataset();
  const names = distinct(places.map((place) => place.condition));
  const hardness = (name) => mean(places.filter((place) => place.condition === name).map((place) => place.dice));
  const hardest = names.reduce((a, b) => (hardness(b) < hardness(a) ? b : a));
  const first = [asked.get("condition"), hardest].find((name) => names.includes(name));
  fill(at("condition"), names.map((name) => [name, name]), first);
}

function fill_methods() {
  const methods = new Map(of_condition().flatMap((place) => place.predictions.map((one) => [one.key, one.name])));
  const average = (key) => mean(of_condition().flatMap((place) => prediction_of(place, key)?.dice ?? []));
  const options = [...methods].map(([key, name]) => [key, `${name} · ${average(key).toFixed(3)}`]);
  fill(at("first"), options, at("first").value || asked.get("first") || "nnunet:paper");
  fill(at("second"), [["", "no other"], ...options], at("second").value || asked.get("second"));
}

// The cases where the first prediction is worst come first.
function fill_cases() {
  const key = at("first").value;
  const order = of_condition().map((place) => [prediction_of(place, key)?.dice, place.case]);
  order.sort((a, b) => (a[0] ?? 2) - (b[0] ?? 2));
  fill(at("case"), order.map(([value, name]) => [name, `${name} · ${dice(value)}`]), at("case").value || asked.get("case"));
}

// ---- pictures

const panes = [];

async function pane(place) {
  while (panes.length <= place) {
    const figure = document.createElement("figure");
    figure.innerHTML = '<figcaption></figcaption><div class="stage"><canvas role="img"></canvas></div><p class="absent" hidden></p>';
    at("grid").append(figure);
    const viewer = new niivue.Niivue({
      backColor: [0, 0, 0, 1], crosshairWidth: 0.4, crosshairWidthUnit: "percent", crosshairColor: [1, 1, 1, 0.7], dragAndDropEnabled: false,
      isResizeCanvas: true, loadingText: "", logLevel: "error", multiplanarShowRender: niivue.SHOW_RENDER.NEVER,
      textHeight: 0.04,
    });
    panes.push({ figure, viewer });
    await viewer.attachToCanvas(figure.querySelector("canvas"));
    viewer.setInterpolation(true);
  }
  return panes[place];
}

// What each canvas shows; a column each for the truth, the first and the second prediction.
function wanted(place) {
  const applied = at("applied").checked;
  const columns = ["", at("first").value, at("second").value].filter((key, n) => n === 0 || key);
  at("grid").style.setProperty("--columns", columns.length);
  return place.scans.flatMap((scan) => {
    const shown = (!applied && scan.before) || scan;
    const modality = scan.modality.toUpperCase();
    return columns.map((key) => {
      if (!key) return { title: `${modality} · truth`, image: shown.image, labels: shown.truth };
      const one = prediction_of(place, key);
      const map = one?.maps[scan.modality];
      const title = `${modality} · ${one?.name ?? key} · ${dice(one?.by[scan.modality])}`;
      if (!map) return { title, missing: "No prediction for this case in this modality." };
      if (shown !== scan) return { title, image: shown.image, note: "Predicted from the moved image: not drawn here." };
      const outside = map.outside ? `${(100 * map.outside).toFixed(1)} % of the prediction lies outside this cut.` : "";
      return { title, image: shown.image, labels: map.volume, note: outside };
    });
  });
}

function colours(dataset) {
  const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
  for (const { name, label, colour } of catalogue.datasets[dataset].structures) {
    const [r, g, b] = [1, 3, 5].map((from) => parseInt(colour.slice(from, from + 2), 16));
    table.R.push(r); table.G.push(g); table.B.push(b); table.A.push(255); table.I.push(label); table.labels.push(name);
  }
  return table;
}

async function image_of(name, extra) {
  return niivue.NVImage.loadFromBase64({ base64: await content(name), name: `${name}.nii.gz`, ...extra });
}

async function draw(panel, want, dataset) {
  const { figure, viewer } = panel;
  const note = figure.querySelector(".absent");
  figure.hidden = false;
  figure.querySelector("figcaption").textContent = want.title;
  figure.querySelector("canvas").setAttribute("aria-label", want.title);
  figure.querySelector(".stage").hidden = Boolean(want.missing);
  note.textContent = want.missing || want.note || "";
  note.hidden = !note.textContent;
  const volumes = [];
  if (want.image) volumes.push(await image_of(want.image, { colormap: "gray", cal_min: 0, cal_max: 255 }));
  if (want.labels) {
    const labels = await image_of(want.labels, { opacity: Number(at("opacity").value) });
    labels.setColormapLabel(colours(dataset));
    volumes.push(labels);
  }
  [...viewer.volumes].reverse().forEach((old) => viewer.removeVolume(old));
  volumes.forEach((one) => viewer.addVolume(one));
  viewer.setAtlasOutline(at("outline").checked ? 1 : 0);
  viewer.setSliceType(Number(at("view").value));
}

let turn = 0;
let last = null;
let queue = Promise.resolve();

// One picture after the other is drawn; of choices made meanwhile only the last one is.
function show() {
  const mine = ++turn;
  queue = queue.then(() => (mine === turn ? drawn(chosen()) : null)).catch((error) => {
    at("moved").textContent = `The case cannot be shown: ${error.message}`;
  });
}

async function drawn(place) {
  const wants = wanted(place);
  for (const [n, want] of wants.entries()) await draw(await pane(n), want, place.dataset);
  panes.slice(wants.length).forEach(({ figure }) => { figure.hidden = true; });
  const seen = panes.slice(0, wants.length).filter((_, n) => wants[n].image).map(({ viewer }) => viewer);
  seen.forEach((one) => one.broadcastTo(seen.filter((other) => other !== one), { "2d": true, "3d": true }));
  if (place !== last && seen.length) look_at(seen, place.scans[0].centre_mm);
  last = place;
  describe(place);
  document.documentElement.dataset.shown = String(turn);
}

function look_at(viewers, centre_mm) {
  for (const viewer of viewers) {
    viewer.scene.crosshairPos = viewer.mm2frac(centre_mm);
    viewer.scene.pan2Dxyzmm = [0, 0, 0, 1];
    viewer.drawScene();
  }
}

function describe(place) {
  const moved = place.scans.filter((scan) => scan.before).map((scan) => scan.modality.toUpperCase());
  const size = `${place.shift_mm.toFixed(1)} mm (root mean square over the foreground)`;
  const turned = place.rotation_deg ? `, turned by ${place.rotation_deg.toFixed(1)}°` : "";
  const state = at("applied").checked ? "" : " Shown as it was before.";
  at("applied-box").hidden = !moved.length;
  at("moved").textContent = moved.length ? `${moved.join(" and ")} moved by ${size}${turned}.${state}` : "Nothing was moved in this case.";
  const every = Math.max(...place.scans.map((scan) => scan.every));
  at("thinned").textContent = every > 1 ? `Along the longest side each ${every}th voxel is kept.` : "";
  at("legend").replaceChildren(...catalogue.datasets[place.dataset].structures.map(({ name, colour }) => {
    const item = document.createElement("li");
    const patch = document.createElement("i");
    patch.style.background = colour;
    item.append(patch, name.replaceAll("_", " "));
    return item;
  }));
  const state_of = Object.fromEntries(["dataset", "condition", "case", "first", "second"].map((id) => [id, at(id).value]));
  history.replaceState(null, "", `#${new URLSearchParams(state_of)}`);
}

// ---- from choice to picture: what depends on a choice is filled anew, the rest stays

const steps = [fill_datasets, fill_conditions, fill_methods, fill_cases, show];
const refill = (from) => steps.slice(steps.indexOf(from)).forEach((step) => step());
const then = { dataset: fill_conditions, condition: fill_methods, first: fill_cases };
for (const id of ["dataset", "condition", "first", "case", "second", "view", "outline", "applied"]) {
  at(id).addEventListener("change", () => refill(then[id] ?? show));
}
at("opacity").addEventListener("input", () => panes.forEach(({ viewer }) => {
  if (viewer.volumes.length > 1) viewer.setOpacity(1, Number(at("opacity").value));
}));

if (document.createElement("canvas").getContext("webgl2")) refill(fill_datasets);
else at("moved").textContent = "This browser has no WebGL 2, which draws the volumes.";
asked = new URLSearchParams(); // from now on what is chosen decides
