// A served page follows its run: it asks for a new version and replaces its parts.
(() => {
  const PAUSE = 3000;
  let version = null;

  const isBusy = () => document.querySelector("dialog[open]") !== null
    || (document.activeElement && document.activeElement.tagName === "INPUT"
      && document.activeElement.type === "search");

  const replace = (text) => {
    const next = new DOMParser().parseFromString(text, "text/html");
    const kept = typeof state === "function" ? state() : null;
    const place = [scrollX, scrollY];
    for (const part of ["header", "main"]) {
      const [old, fresh] = [document, next].map((page) => page.querySelector(`body > ${part}`));
      if (old && fresh) old.replaceWith(document.adoptNode(fresh));
    }
    if (typeof setUp === "function") setUp();
    if (kept) restore(kept);
    scrollTo(...place);
  };

  const ask = async () => {
    try {
      const headers = version ? { "If-None-Match": version } : {};
      const reply = await fetch(location.pathname + location.search, { headers, cache: "no-store" });
      document.body.classList.toggle("offline", false);
      if (reply.status === 200 && !isBusy()) {
        const text = await reply.text();
        if (version) replace(text);
        version = reply.headers.get("ETag");
      }
    } catch {
      document.body.classList.toggle("offline", true);
    }
    setTimeout(ask, PAUSE);
  };
  ask();
})();
