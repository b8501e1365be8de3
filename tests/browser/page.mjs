// A reviewer's browser: headless Chromium at the pages, with everything that must not happen on any of them watched.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const axe = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const PATIENCE = 20_000;

export class Reviewer {
  static async start({ base, shots, dark }) {
    // CI runs as root, where Chromium's own sandbox is not to be had; it visits this machine alone.
    const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
    const context = await browser.newContext({
      ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 }, colorScheme: dark ? 'dark' : 'light',
      // The page's own policy would keep out what looks for barriers; that it holds is asserted on every answer.
      bypassCSP: false,
    });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const reviewer = Object.assign(new Reviewer(), { base, shots, browser, context, page, faults: [] });
    page.on('pageerror', (error) => reviewer.faults.push(`error: ${error.message}`));
    page.on('console', (message) => {
      // A refusal is said by the browser as well.
      const refusal = message.text().startsWith('Failed to load resource');
      if (message.type() === 'error' && !refusal) reviewer.faults.push(`console: ${message.text()}`);
    });
    return reviewer;
  }

  async end() {
    await this.browser.close();
    assert.deepEqual(this.faults, [], 'nothing went wrong on the way');
  }

  at(name) {
    return this.page.getByTestId(name);
  }

  async open(route = '#/approvals') {
    const response = await this.page.goto(`${this.base}/console/${route}`);
    // None where only the place in the page is another one.
    const policy = response?.headers()['content-security-policy'];
    if (response) assert.match(policy ?? '', /^default-src 'none'; script-src 'self'/);
  }

  /** From the sign-in page, by the provider's own pages, back to where it began. */
  async signIn(who, route = '#/approvals', answer = () => this.answerProvider(who)) {
    await this.open(route);
    await this.at('sign-in-sso').click();
    await answer();
    await this.at('who').waitFor();
    assert.equal(await this.page.evaluate(() => document.cookie), '', 'no cookie is for the page');
    assert.equal(await this.page.evaluate(() => JSON.stringify(sessionStorage)), '{}');
    const kept = Object.keys(await this.page.evaluate(() => ({ ...localStorage })));
    assert.ok(kept.every((name) => name.includes('theme')), `kept in the browser: ${kept}`);
    assert.ok(this.page.url().endsWith(route), `back at ${route}: ${this.page.url()}`);
  }

  /** Name and any password, then consent. */
  async answerProvider(who) {
    await this.page.locator('input[name=login]').fill(who);
    await this.page.locator('input[name=password]').fill('any');
    await this.page.locator('button[type=submit]').click();
    const consent = this.page.locator('form button[type=submit]', { hasText: /continue/i });
    await consent.click();
  }

  /** The same at Keycloak, which asks for consent only where a device's code is confirmed. */
  async answerKeycloak({ name, password }) {
    await this.page.locator('#username').fill(name);
    await this.page.locator('#password').fill(password);
    await this.page.locator('#kc-login').click();
  }

  /** No serious barrier, and a picture. */
  async look(name) {
    await this.page.evaluate(() => document.fonts.ready);
    const cdp = await this.context.newCDPSession(this.page);
    const { readFile } = await import('node:fs/promises');
    const source = await readFile(axe, 'utf8');
    // By the debugger, which the page's policy does not hold back.
    const run = `${source}; axe.run(document, { resultTypes: ['violations'] }).then((it) => JSON.stringify(it.violations))`;
    const { result, exceptionDetails } = await cdp.send('Runtime.evaluate', {
      expression: run, awaitPromise: true, returnByValue: true,
    });
    assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
    const serious = JSON.parse(result.value).filter(({ impact }) => ['serious', 'critical'].includes(impact));
    const told = serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' | ')}`);
    assert.deepEqual(told, [], `axe on ${name}`);
    if (this.shots) await this.page.screenshot({ path: `${this.shots}/console-${name}.png`, fullPage: false });
  }

  /** The only request that waits, opened. */
  async openOnly() {
    const row = this.at('inbox-row');
    await row.first().waitFor();
    assert.equal(await row.count(), 1, 'one request waits');
    await row.first().getByRole('link').click();
    await this.at('statement').waitFor();
  }

  async state(wanted) {
    await this.page.waitForFunction(
      (state) => document.querySelector('[data-testid=state]')?.textContent?.toLowerCase().includes(state),
      wanted,
    );
  }

  async answer(verb, comment) {
    if (comment) await this.at('comment').fill(comment);
    await this.at(verb).click();
    await this.at('confirm').click();
    await this.at('answered').waitFor();
  }
}
