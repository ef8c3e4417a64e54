// Search results: a term of the glossary or a name of the library that is what was asked for comes first, and each says
// what it is. Sphinx's own search finds the rest.
"use strict";

(() => {
  const entries = window.courseEntries; // "page#anchor": the forms that find it, and what it is
  const find = Search._performSearch;

  // A page in a folder may not read the other pages: without it their beginnings are not shown, and nothing fails.
  if (window.location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

  function escape(text) {
    const box = document.createElement("span");
    box.textContent = text;
    return box.innerHTML;
  }

  // A result is [page, title, anchor, what it is, score, file]; the last one is shown first.
  function describe([page, title, anchor, about, score, file]) {
    const entry = entries[page + anchor];
    return entry ? [page, escape(entry.forms[0]), anchor, escape(entry.text), score, file] : [page, title, anchor, about, score, file];
  }

  Search._performSearch = (query, ...rest) => {
    const wanted = query.trim().toLowerCase();
    const named = Object.keys(entries).filter((address) =>
      entries[address].forms.some((form) => form.toLowerCase() === wanted),
    );
    const others = find(query, ...rest).filter(([page, , anchor]) => !named.includes(page + anchor));
    const first = named.map((address) => {
      const [page, anchor] = address.split("#");
      return [page, "", `#${anchor}`, null, 0, page];
    });
    return [...others, ...first.reverse()].map(describe);
  };
})();
