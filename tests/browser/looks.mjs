// How a page looks, in figures: what runs in the page, and the pictures taken of it.
import { mkdirSync } from "node:fs";
import { assert } from "./harness.mjs";

export const PICTURES = "target/browser";
export const WIDE = { width: 1280, height: 860 };
export const PHONE = { width: 390, height: 844 };
mkdirSync(PICTURES, { recursive: true });

/** A picture of the whole page, for people to look at. */
export async function picture(page, name, whole = true) {
  await page.screenshot({ path: `${PICTURES}/${name}.png`, fullPage: whole, animations: "disabled" });
}

/** Fails when the page can be scrolled sideways, or something stands out of it. */
export async function fitsItsWidth(page) {
  const { scroll, client } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    client: document.documentElement.clientWidth,
  }));
  assert(scroll <= client, `the page is ${scroll} px wide in a window of ${client}`);
  await page.evaluate(() => window.scrollTo(500, 0));
  assert((await page.evaluate(() => window.scrollX)) === 0, "the page scrolls sideways");
  const cut = await page.evaluate(() =>
    [...document.querySelectorAll("body *")]
      .filter((e) => e.checkVisibility() && !e.closest("svg, .scroll, .skip, .sr") && e.getBoundingClientRect().right > innerWidth + 1)
      .map((e) => `${e.tagName} ${e.className} ${Math.round(e.getBoundingClientRect().right)}`));
  assert(cut.length === 0, `out of the window: ${cut.slice(0, 3).join("; ")}`);
}

/** Fails when some text has less contrast with what is behind it than WCAG 2 asks for at level AA. */
export async function isReadable(page) {
  const poor = await page.evaluate(() => {
    const rgba = (text) => {
      const n = text.match(/[\d.]+/g).map(Number);
      return { c: n.slice(0, 3), a: n[3] ?? 1 };
    };
    const over = (top, under) => top.c.map((v, i) => v * top.a + under[i] * (1 - top.a));
    const light = (c) => {
      const [r, g, b] = c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
      const layers = [];
      for (let e = element; e; e = e.parentElement) {
        const layer = rgba(getComputedStyle(e).backgroundColor);
        layers.push(layer);
        if (layer.a === 1) break;
      }
      const canvas = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
      return layers.reduceRight((under, layer) => over(layer, under), canvas);
    };
    const found = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const element = node.parentElement;
      if (!node.textContent.trim() || !element.checkVisibility() || element.closest("svg, script, style")) continue;
      const style = getComputedStyle(element);
      const back = behind(element);
      const [a, b] = [light(over(rgba(style.color), back)), light(back)];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (ratio < (large ? 3 : 4.5)) found.push(`"${node.textContent.trim().slice(0, 30)}" ${ratio.toFixed(2)}`);
    }
    return found;
  });
  assert(poor.length === 0, `too little contrast: ${poor.slice(0, 4).join("; ")}`);
}

/** Walks through the page by keyboard. Gives what was reached, in that order; fails where the focus cannot be seen. */
export async function focusOrder(page, limit = 80) {
  const reached = [];
  await page.evaluate(() => { document.activeElement?.blur?.(); window.scrollTo(0, 0); });
  while (reached.length < limit) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      if (!e || e === document.body) return null;
      const style = getComputedStyle(e), box = e.getBoundingClientRect();
      const all = [...document.querySelectorAll("a[href], button, input, [tabindex='0'], summary")];
      return {
        index: all.indexOf(e),
        name: (e.innerText || e.name || e.tagName).trim().slice(0, 40),
        outline: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
        seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
        all: all.filter((x) => x.checkVisibility()).length,
      };
    });
    if (!at || reached.some((r) => r.index === at.index)) break;
    assert(at.outline, `no outline on "${at.name}"`);
    assert(at.seen, `the focus is out of sight on "${at.name}"`);
    const last = reached.at(-1);
    assert(!last || at.index > last.index, `"${at.name}" comes after "${last?.name}" by keyboard and before it on the page`);
    reached.push(at);
  }
  assert(reached.length === (reached[0]?.all ?? 0), `${reached.length} of ${reached[0]?.all} reached by keyboard`);
  return reached;
}
