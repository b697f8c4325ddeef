"use strict";
(() => {
  const MARK = "#filter=";
  const form = document.getElementById("filters");
  const fields = ["name", "class", "dataset", "kind", "state", "text"];
  const lesions = [...document.querySelectorAll(".lesion")].map((element) => ({
    element,
    notes: [...element.querySelectorAll(".note")].map((note) => ({
      element: note,
      kinds: note.dataset.kinds.split(" "),
      text: note.querySelector("blockquote").textContent.toLowerCase(),
    })),
  }));
  const total = lesions.reduce((sum, lesion) => sum + lesion.notes.length, 0);

  /** What the filters ask for: only what is set. */
  const wanted = () => fields.map((name) => [name, form.elements[name].value.trim()]).filter(([, value]) => value);

  function fits(lesion, note, asked) {
    return asked.every(([name, value]) => {
      if (name === "class" || name === "dataset") return lesion.element.dataset[name] === value;
      if (name === "kind") return note.kinds.includes(value);
      if (name === "text") return note.text.includes(value.toLowerCase());
      return note.element.dataset[name] === value;
    });
  }

  function apply() {
    const asked = wanted();
    let shown = 0, images = 0;
    for (const lesion of lesions) {
      let any = false;
      for (const note of lesion.notes) {
        note.element.hidden = !fits(lesion, note, asked);
        if (!note.element.hidden) { shown += 1; any = true; }
      }
      lesion.element.hidden = !any;
      images += any;
    }
    document.getElementById("count").textContent = `Showing ${shown} of ${total} notes, on ${images} of ${lesions.length} images`;
    document.getElementById("nothing").hidden = shown > 0 || total === 0;
  }

  /** Set the filters as the address says, and go to the examples. Values that no filter has show nothing. */
  function follow() {
    if (!location.hash.startsWith(MARK)) return;
    const asked = new URLSearchParams(location.hash.slice(MARK.length));
    for (const name of fields) {
      const field = form.elements[name], value = asked.get(name) || "";
      if (field.tagName === "SELECT" && ![...field.options].some((option) => option.value === value)) {
        field.add(new Option(value, value));
      }
      field.value = value;
    }
    apply();
    document.getElementById("examples").scrollIntoView({ behavior: "instant" });
  }

  function changed() {
    apply();
    const asked = new URLSearchParams(wanted()).toString();
    history.replaceState(null, "", asked ? MARK + asked : "#examples");
  }

  const cells = JSON.parse(document.getElementById("cells").textContent);
  const places = [...document.querySelectorAll(".heat.by .cell")];
  const measure = document.getElementById("measure");

  function colour() {
    const good = "good" in measure.selectedOptions[0].dataset;
    cells[measure.value].forEach(([value, text, title], number) => {
      const cell = places[number];
      cell.textContent = text;
      cell.title = title;
      cell.style.setProperty("--p", `${100 * (value || 0)}%`);
      cell.classList.toggle("hi", value > 0.8);
      cell.classList.toggle("good", good);
    });
  }

  form.hidden = false;
  measure.closest(".measure").hidden = places.length === 0;
  measure.addEventListener("change", colour);
  colour();
  form.addEventListener("input", changed);
  form.addEventListener("reset", () => setTimeout(changed));
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", follow);
  apply();
  follow();
})();
