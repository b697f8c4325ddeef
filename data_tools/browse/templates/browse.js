"use strict";
(() => {
  const typing = (element) => element.matches("input, select, textarea, [contenteditable]");
  const follow = (rel) => document.querySelector(`a[rel="${rel}"]`)?.click();
  const roads = { ArrowLeft: "prev", ArrowRight: "next", Escape: "up" };

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || typing(event.target)) return;
    if (roads[event.key]) follow(roads[event.key]);
  });

  const form = document.querySelector(".choose");
  if (form) {
    /** Addresses hold what is set and nothing else, so that the same view has the same address. */
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const asked = [...new FormData(form)].filter(([, value]) => value.trim());
      location.assign(asked.length ? `/?${new URLSearchParams(asked)}` : "/");
    });
    form.addEventListener("change", () => form.requestSubmit());
    form.classList.add("live");
    const narrow = matchMedia("(max-width: 760px)").matches;
    if (narrow && !form.querySelector(".set")) form.closest("details").open = false;
  }

  for (const image of document.querySelectorAll("img")) {
    const broken = () => image.classList.add("broken");
    image.addEventListener("error", broken);
    if (image.complete && image.naturalWidth === 0) broken();
  }
})();
