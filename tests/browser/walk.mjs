// One walk through the pages, by `deploy/dev/browser walk.mjs NAME JSON`; the test beside it (tests/tests/browser) makes what
// happens at the agent's end, and looks at what came of it there.
import assert from 'node:assert/strict';
import { Reviewer } from './page.mjs';

const walks = {
  /** A risky statement waits; a reviewer signs in, reads, approves. */
  async approve(reviewer, { statement, comment }) {
    await reviewer.open();
    await reviewer.at('sign-in-sso').waitFor();
    await reviewer.look('sign-in');
    await reviewer.signIn('second');
    await reviewer.at('inbox-row').first().waitFor();
    await reviewer.look('inbox');
    await reviewer.openOnly();
    assert.equal((await reviewer.at('statement').innerText()).trim(), statement);
    const text = await reviewer.page.locator('main').innerText();
    for (const part of ['Operations agent', 'grace@example.com', 'app.orders', 'operators-delete-orders-with-approval']) {
      assert.ok(text.includes(part), `${part} is not in\n${text}`);
    }
    await reviewer.look('approval');
    await reviewer.answer('approve', comment);
    await reviewer.state('used');
    await reviewer.at('sign-out').click();
    await reviewer.page.waitForFunction(() => !document.querySelector('[data-testid=who]'));
  },

  async deny(reviewer, { comment }) {
    await reviewer.signIn('approver');
    await reviewer.openOnly();
    await reviewer.answer('deny', comment);
    await reviewer.state('denied');
  },

  /** Nobody answers: the page says so by itself. */
  async expiry(reviewer) {
    await reviewer.signIn('approver');
    await reviewer.openOnly();
    await reviewer.state('expired');
    assert.equal(await reviewer.at('approve').count(), 0, 'it cannot be approved any more');
  },

  /** One of two: it waits on, and who answered may not answer again. */
  async firstOfTwo(reviewer) {
    await reviewer.signIn('approver');
    await reviewer.openOnly();
    await reviewer.answer('approve');
    await reviewer.state('pending');
    await reviewer.at('why-not').waitFor();
    assert.equal(await reviewer.at('approve').count(), 0, 'nobody answers twice');
  },

  async secondOfTwo(reviewer) {
    await reviewer.signIn('second');
    await reviewer.openOnly();
    await reviewer.answer('approve');
    await reviewer.state('used');
  },

  /** Whoever asks, or owns the agent that asks, reads it and cannot answer. */
  async refused(reviewer, { who, why }) {
    await reviewer.signIn(who);
    await reviewer.openOnly();
    const told = await reviewer.at('why-not').innerText();
    assert.match(told.toLowerCase(), new RegExp(why));
    assert.equal(await reviewer.at('approve').count(), 0);
    // The button that is not there is not what keeps them: the gateway refuses what the page would send.
    const id = reviewer.page.url().split('/').at(-1);
    const digest = (await reviewer.at('digest').innerText()).match(/[0-9a-f]{64}/)[0];
    const status = await reviewer.page.evaluate(async ({ id, digest }) => {
      const headers = { 'x-tallyport-console': '1', 'content-type': 'application/json' };
      const path = `/console/api/approvals/${id}/approve`;
      return (await fetch(path, { method: 'POST', headers, body: JSON.stringify({ digest }) })).status;
    }, { id, digest });
    assert.equal(status, 403);
  },

  /** A person at a terminal confirms the code in a browser. */
  async device(reviewer, { url, who }) {
    await reviewer.page.goto(url);
    await reviewer.page.locator('button[type=submit]').first().click();
    await reviewer.answerProvider(who);
    await reviewer.page.getByText(/success/i).first().waitFor();
  },

  /** A person of a Keycloak realm comes in, is called by their name, and leaves. */
  async keycloakPage(reviewer, { user }) {
    await reviewer.signIn(user.name, '#/sessions', () => reviewer.answerKeycloak(user));
    assert.match(await reviewer.at('who').innerText(), /Ada Example/);
    await reviewer.at('sign-out').click();
    // At the provider, too, which asks whether that is meant.
    await reviewer.page.locator('#kc-logout').click();
    await reviewer.page.getByText(/you are logged out/i).first().waitFor();
    await reviewer.open('#/sessions');
    await reviewer.at('sign-in-sso').click();
    await reviewer.page.locator('#username').waitFor();
  },

  /** The same person, for a terminal. */
  async keycloakDevice(reviewer, { url, user }) {
    await reviewer.page.goto(url);
    await reviewer.answerKeycloak(user);
    await reviewer.page.locator('#kc-login[name=accept]').click();
    await reviewer.page.getByText(/device login successful/i).first().waitFor();
  },

  /** A live session is ended, and replayed: what the agent saw, and nothing more. */
  async killAndReplay(reviewer, { session, reason, masked, secret }) {
    await reviewer.signIn('admin', '#/sessions');
    const row = reviewer.page.locator(`[data-testid=session-row][data-id="${session}"]`);
    await row.waitFor();
    await reviewer.look('sessions');
    await row.getByTestId('end-session').click();
    await reviewer.at('end-reason').fill(reason);
    await reviewer.at('end-confirm').click();
    await row.waitFor({ state: 'detached' });
    await reviewer.page.goto(`${reviewer.base}/console/#/sessions/${session}`);
    await reviewer.at('replay-step').first().waitFor();
    const steps = await reviewer.at('replay').innerText();
    assert.ok(steps.includes(masked), `${masked} is not in\n${steps}`);
    assert.ok(!steps.includes(secret), 'what was masked stays so');
    await reviewer.look('replay');
  },
};

const [name, json] = process.argv.slice(2);
const given = JSON.parse(json);
const reviewer = await Reviewer.start(given);
try {
  await walks[name](reviewer, given);
} catch (error) {
  const seen = await reviewer.page.locator('body').innerText().catch(() => '');
  console.error(`${name}: ${error.stack}\nat ${reviewer.page.url()}\n${reviewer.faults.join('\n')}\n---\n${seen}`);
  if (process.env.TALLYPORT_SHOT) await reviewer.page.screenshot({ path: process.env.TALLYPORT_SHOT });
  await reviewer.browser.close();
  process.exit(1);
}
await reviewer.end();
