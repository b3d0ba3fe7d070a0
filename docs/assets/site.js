// A table wider than the page scrolls in a box of its own, which the keyboard must reach too.
document$.subscribe(() => setTimeout(() => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap")) box.tabIndex = 0
}, 100))
