// A browser starts no worker from a file, so the search would be dead in a site that is opened from disk.
// There a hidden frame does the work of the worker.
if (location.protocol === "file:") {
  const inFrame = `
    postMessage = data => dispatchEvent(new CustomEvent("answer", { detail: data }));
    importScripts = (...urls) => urls.reduce((before, url) => before.then(() => new Promise(done => {
      const script = document.createElement("script");
      script.src = url;
      script.onload = done;
      document.body.appendChild(script);
    })), Promise.resolve());`;
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const inside = this.frame.contentWindow;
      inside.document.open();  // forgets listeners
      this.ready = new Promise(done => inside.addEventListener("load", done));
      inside.addEventListener("answer", event => {
        this.dispatchEvent(new MessageEvent("message", { data: event.detail }));
      });
      inside.document.write(`<body><script>${inFrame}<\/script><script src="${url}"><\/script></body>`);
      inside.document.close();
    }
    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })));
    }
    terminate() { this.frame.remove(); }
  };
}
