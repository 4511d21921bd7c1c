// Accessibility as far as a program can tell, and that nothing is wider than the window.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const VIEWS = [
  { colorScheme: "light", width: 1280, height: 800 },
  { colorScheme: "dark", width: 1280, height: 800 },
  { colorScheme: "dark", width: 360, height: 740 },
  { colorScheme: "light", width: 360, height: 740 },
];

function check(page) {
  return page.evaluate(async () => {
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
    for (const change of document.getAnimations()) if (change instanceof CSSTransition) change.finish();
    const { violations } = await globalThis.axe.run(document, { resultTypes: ["violations"] });
    return {
      wide: document.documentElement.scrollWidth - innerWidth,
      violations: violations.map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.slice(0, 3).map(({ target, any }) => `${target.join(" ")} (${any[0]?.message ?? ""})`).join("; ")}`),
    };
  });
}

/** What axe finds on a page as it stands, in both themes and at both widths. */
export async function examine(page, name) {
  const problems = [];
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(axe);
  for (const { colorScheme, width, height } of VIEWS) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width, height });
    const label = `${name}, ${colorScheme}, ${width} px`;
    let found = await check(page);
    // Themes fade into each other: what is wrong stays wrong when everything has come to rest.
    for (let tries = 0; tries < 3 && found.violations.length > 0; tries++) {
      await page.waitForTimeout(300);
      found = await check(page);
    }
    problems.push(...found.violations.map((text) => `${label}: ${text}`));
    if (found.wide > 0) problems.push(`${label}: ${found.wide} pixels too wide`);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
  return problems;
}
