/* <consent-signup form="frm_…" lang="nb">: draws a sign-up form of the consent service on another site.
   It sets nothing on the device and writes data as text only. What stands inside the element shows until the form has
   come: put a link to the hosted form there. Colours: --consent-accent and its like below. */
(() => {
  "use strict";

  const HOST = new URL(document.currentScript.src).origin;

  const STYLE = `
:host {
  display: block; color-scheme: var(--consent-scheme, light dark);
  --accent: var(--consent-accent, light-dark(#0b5d57, #6fd0c3));
  --accent-ink: var(--consent-accent-ink, light-dark(#ffffff, #06211e));
  --ink: var(--consent-ink, light-dark(#16211f, #e9efec));
  --soft: var(--consent-ink-soft, light-dark(#4a5a57, #a9b8b3));
  --card: var(--consent-card, light-dark(#ffffff, #18211f));
  --line: var(--consent-line, light-dark(#d9ddd6, #2c3936));
  --edge: var(--consent-edge, light-dark(#7d8b86, #7f918b));
  --danger: var(--consent-danger, light-dark(#a3261f, #ff9c92));
  --focus: var(--consent-focus, light-dark(#1d4ed8, #9db8ff));
  --radius: var(--consent-radius, 10px);
}
* { box-sizing: border-box; }
.card {
  padding: 1.25rem; color: var(--ink); background: var(--card);
  border: 1px solid var(--line); border-radius: var(--radius);
  font: var(--consent-font, 1.0625rem/1.6 "Inter", "Segoe UI", system-ui, sans-serif); overflow-wrap: break-word;
}
h2, h3 { margin: 0 0 .5rem; line-height: 1.25; } h2 { font-size: 1.375rem; } h3 { font-size: 1.0625rem; }
p { margin: 0 0 1rem; } a { color: var(--accent); text-underline-offset: .15em; }
.hint { display: block; margin: 0 0 .25rem; font-size: .9375rem; color: var(--soft); }
.optional { font-weight: 400; color: var(--soft); }
.field { margin: 0 0 1.25rem; } .field label, legend { display: block; padding: 0; font-weight: 600; }
.text {
  width: 100%; min-height: 2.875rem; margin: .25rem 0; padding: .5rem .75rem; font: inherit; color: inherit;
  background: transparent; border: 1.5px solid var(--edge); border-radius: 8px;
}
.text[aria-invalid] { border: 2px solid var(--danger); }
.fault { display: block; font-size: .9375rem; font-weight: 600; color: var(--danger); }
fieldset { min-width: 0; margin: 0 0 1rem; padding: 0; border: 0; }
.choice {
  display: grid; grid-template-columns: 1.5rem minmax(0, 1fr); gap: .375rem .875rem; padding: 1rem 0;
  border-bottom: 1px solid var(--line);
}
.choice input { width: 1.5rem; height: 1.5rem; margin: .05rem 0 0; accent-color: var(--accent); }
.about { grid-column: 2; }
.facts { display: flex; flex-wrap: wrap; gap: .375rem; margin: 0 0 .5rem; padding: 0; list-style: none; }
.facts li { padding: 0 .625rem; font-size: .875rem; color: var(--soft); border: 1px solid var(--line); border-radius: 99px; }
dl { margin: 0; font-size: .9375rem; line-height: 1.5; color: var(--soft); }
dt, dd { display: inline; margin: 0; } dd { color: var(--ink); }
.summary { margin: 0 0 1.25rem; padding: .75rem 1rem; border: 2px solid var(--danger); border-radius: 8px; }
.summary ul { margin: 0; padding-left: 1.25rem; }
button {
  margin-top: 1rem; min-height: 2.875rem; padding: .5rem 1.25rem; font: inherit; font-weight: 600; color: var(--accent-ink);
  background: var(--accent); border: 1.5px solid var(--accent); border-radius: 8px; cursor: pointer;
}
button[aria-disabled] { opacity: .7; }
:focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
.trap { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
`;
  const SHEET = new CSSStyleSheet();
  SHEET.replaceSync(STYLE);

  /* Text becomes a text node: what looks like markup stays text. */
  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child != null));
    return element;
  }

  /* A link of the definition leads to a web page or nowhere. */
  const webLink = (url, text) =>
    /^https?:\/\//i.test(url || "") ? make("a", { href: url, rel: "noreferrer" }, text) : null;

  class ConsentSignup extends HTMLElement {
    connectedCallback() {
      if (this.shadowRoot) return;
      const root = this.attachShadow({ mode: "open" });
      root.adoptedStyleSheets = [SHEET];
      this.place = make("div", {}, make("slot"));
      root.append(this.place);
      this.load().catch(() => this.report("unavailable"));
    }

    get address() {
      return `${HOST}/f/${encodeURIComponent(this.getAttribute("form") || "")}`;
    }

    async load() {
      const wish = this.getAttribute("lang") || document.documentElement.lang;
      const ask = (query) => fetch(`${this.address}/definition${query}`, { credentials: "omit", cache: "no-store" });
      let answer = await ask(wish ? `?lang=${encodeURIComponent(wish)}` : "");
      if (answer.status === 404 && wish) answer = await ask("");
      if (!answer.ok) throw new Error(String(answer.status));
      this.definition = await answer.json();
      this.draw();
    }

    draw() {
      const form = this.definition;
      const words = form.words;
      const fields = form.fields.map((field) => this.field(field));
      const boxes = form.boxes.map((box, index) => this.box(box, `consent-${index}`, "consent"));
      if (form.age) boxes.push(this.box(form.age, "age_at_least", "age_at_least"));
      this.trap = make("input", { type: "text", name: "website", tabindex: "-1", autocomplete: "off" });
      this.button = make("button", { type: "submit" }, form.submit_label || words.send);
      this.summary = make("div", {});
      this.form = make(
        "form", { novalidate: true, class: "card", lang: form.language, "aria-labelledby": "title" },
        make("h2", { id: "title" }, form.title),
        form.intro ? make("p", {}, form.intro) : null,
        this.summary,
        ...fields,
        make("fieldset", {}, make("legend", {}, words.legend), make("span", { class: "hint" }, words.hint), ...boxes),
        ...form.withdrawal_texts.map((text) => make("p", { class: "hint" }, text)),
        make("p", { class: "hint" }, ...this.links()),
        make("div", { class: "trap", "aria-hidden": "true" }, make("label", {}, words.leave_empty, this.trap)),
        this.button,
      );
      this.form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.send();
      });
      this.place.replaceChildren(this.form);
      this.report("ready");
    }

    links() {
      const form = this.definition;
      const links = [
        ...form.privacy_notice_urls.map((url) => webLink(url, form.words.privacy_notice)),
        webLink(form.choices_url, form.words.my_choices),
      ].filter(Boolean);
      return links.flatMap((link, index) => (index ? [" \u00b7 ", link] : [link]));
    }

    field({ name, kind, label, why, is_required: required, autocomplete }) {
      const words = this.definition.words;
      const note = required ? null : make("span", { class: "optional" }, ` ${words.optional}`);
      return make(
        "div", { class: "field" },
        make("label", { for: name }, label, note),
        make("span", { class: "hint", id: `${name}-why` }, why),
        make("span", { class: "fault", id: `${name}-fault` }),
        make("input", {
          class: "text", id: name, name, type: kind === "phone" ? "tel" : kind, autocomplete, required,
          maxlength: "320", dir: "auto", "aria-describedby": `${name}-why ${name}-fault`,
        }),
      );
    }

    /* Never drawn with a tick (GDPR Art. 4(11)). */
    box(box, id, name) {
      return make(
        "div", { class: "choice" },
        make("input", {
          type: "checkbox", id, name, value: box.value, autocomplete: "off", "aria-describedby": `${id}-about`,
        }),
        make("label", { for: id }, box.statement),
        make(
          "div", { class: "about", id: `${id}-about` },
          make("ul", { class: "facts" }, ...box.facts.map((fact) => make("li", {}, fact))),
          make("dl", {}, ...box.terms.map(([term, text]) => make("div", {}, make("dt", {}, term), " ", make("dd", {}, text)))),
        ),
      );
    }

    async send() {
      if (this.button.hasAttribute("aria-disabled")) return;
      const words = this.definition.words;
      const said = this.button.textContent;
      this.button.setAttribute("aria-disabled", "true");
      this.button.textContent = words.sending;
      try {
        const answer = await fetch(`${this.address}/submissions`, {
          method: "POST",
          credentials: "omit",
          headers: { "Content-Type": "application/json", "X-Consent-Form": this.getAttribute("form") },
          body: JSON.stringify(this.answer()),
        });
        await this.settle(answer);
      } catch {
        this.blame([[null, words.failed]]);
      }
      this.button.removeAttribute("aria-disabled");
      this.button.textContent = said;
    }

    answer() {
      const form = this.definition;
      const typed = Object.fromEntries(form.fields.map(({ name }) => [name, this.input(name).value]));
      const page = location.origin + location.pathname;
      const ticked = [...this.form.querySelectorAll('[name="consent"]:checked')].map((box) => box.value);
      const age = this.input("age_at_least");
      if (age?.checked) typed.age_at_least = age.value;
      return { ...typed, consent: ticked, lang: form.language, snapshot: form.snapshot, website: this.trap.value, page };
    }

    async settle(answer) {
      const words = this.definition.words;
      if (answer.status === 202) {
        this.thank();
      } else if (answer.status === 422) {
        const { errors = [] } = await answer.json();
        if (errors.some(({ code }) => code.startsWith("snapshot_"))) await this.load();
        this.blame(errors.map(({ pointer, code }) => [pointer.slice(1), words.faults[code] || words.faults.other]));
      } else {
        this.blame([[null, answer.status === 429 ? words.too_many : words.failed]]);
      }
    }

    /* How what was ticked is confirmed: by mail, by SMS, or both. */
    ways() {
      const ticked = new Set(this.answer().consent);
      const email = this.definition.fields.some(({ name }) => name === "email") && this.input("email").value.trim();
      const boxes = this.definition.boxes.filter(({ value }) => ticked.has(value));
      return new Set(boxes.map(({ confirmation }) => confirmation || (email ? "email" : "sms")));
    }

    input(name) {
      return this.form.elements.namedItem(name);
    }

    blame(faults) {
      for (const { name } of this.definition.fields) {
        const own = faults.find(([field]) => field === name);
        this.shadowRoot.getElementById(`${name}-fault`).textContent = own ? own[1] : "";
        if (own) this.input(name).setAttribute("aria-invalid", "true");
        else this.input(name).removeAttribute("aria-invalid");
      }
      const lines = faults.map(([field, text]) => {
        const target = field && this.shadowRoot.getElementById(field);
        if (!target) return make("li", {}, text);
        const link = make("a", { href: `#${field}` }, text);
        link.addEventListener("click", (event) => {
          event.preventDefault();
          target.focus();
        });
        return make("li", {}, link);
      });
      const summary = make(
        "div", { class: "summary", role: "alert", tabindex: "-1" },
        make("h3", {}, this.definition.words.put_right), make("ul", {}, ...lines),
      );
      this.summary.replaceChildren(summary);
      summary.focus();
    }

    thank() {
      const words = this.definition.words;
      const ways = this.ways();
      const isEmpty = ways.size === 0;
      const title = make("h2", { tabindex: "-1" }, isEmpty ? words.empty_title : words.sent_title);
      const byMail = ways.has("email");
      const texts = isEmpty ? [words.empty_text] : [byMail && words.sent_text, ways.has("sms") && words.sent_code, words.sent_note, byMail && words.sent_again];
      const link = ways.has("sms") ? webLink(this.definition.code_url, words.code_link) : null;
      this.place.replaceChildren(
        make("div", { class: "card", lang: this.definition.language, role: "status" }, title, ...[...texts, link].filter(Boolean).map((text) => make("p", {}, text))),
      );
      title.focus();
      this.report("sent");
    }

    /* Tells the page what happened, nothing about the person. */
    report(what) {
      this.dispatchEvent(new CustomEvent(`consent-signup:${what}`, { bubbles: true, composed: true }));
    }
  }

  if (!customElements.get("consent-signup")) customElements.define("consent-signup", ConsentSignup);
})();
