// Call Graph with a Page token that page-token-sync keeps, and recover from error 190 within seconds.
//
//   npm install @aws-sdk/client-secrets-manager     # for AWS Secrets Manager; Vault and OpenBao need no package
//   echo 'me?fields=name' | PAGE=berlin VAULT_ADDR=… VAULT_TOKEN=… VAULT_PATH=meta/pages/berlin node page-app.mjs
//
// Each line of the input is a path of Graph; each line of the output is what became of it, as JSON.

import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const { env } = process;
const GRAPH = env.GRAPH_URL ?? "https://graph.facebook.com/v25.0";
const CACHE_MS = 60_000;

/** What to do on errors that a repetition does not solve, by Graph's code. */
const ADVICE = {
  10: "The app lacks a permission: the app's admin requests it. Do not repeat the call.",
  200: "The token lacks a permission for this Page: the app's admin grants it. Do not repeat the call.",
  100: "The call is wrong, or its object does not exist. Correct it; another token changes nothing.",
  368: "Meta has blocked this action for the Page for a time. Stop writing, and ask a person to look.",
  190: "No valid token is stored. Stop calling for this Page, and raise an alarm.",
};

export class GraphError extends Error {
  constructor(code) {
    super(ADVICE[code] ?? "See Meta's documentation of this code.");
    this.code = code;
  }
}

/** Read the token from the secret's newest version in Vault or OpenBao. */
async function readFromVault() {
  const url = `${env.VAULT_ADDR}/v1/${env.VAULT_MOUNT ?? "secret"}/data/${env.VAULT_PATH}`;
  const answer = await fetch(url, {
    headers: { "X-Vault-Token": env.VAULT_TOKEN },
    signal: AbortSignal.timeout(10_000),
  });
  if (!answer.ok) throw new Error(`Vault answered ${answer.status}`);
  return (await answer.json()).data.data.access_token;
}

/** Read the token from the secret's current version in AWS Secrets Manager. */
async function readFromAws() {
  const { GetSecretValueCommand, SecretsManagerClient } = await import("@aws-sdk/client-secrets-manager");
  const found = await new SecretsManagerClient().send(new GetSecretValueCommand({ SecretId: env.AWS_SECRET_ID }));
  return JSON.parse(found.SecretString).access_token;
}

/** Ask page-token-sync to check this Page's secret now; return the milliseconds after which it may be asked again. */
async function askForCheck() {
  try {
    const answer = await fetch(`${env.CHECK_URL}/v1/pages/${env.PAGE}/check`, {
      method: "POST",
      headers: { Authorization: `Bearer ${env.CHECK_TOKEN}` },
      signal: AbortSignal.timeout(12_000),
    });
    return ((await answer.json()).retry_after ?? 60) * 1000;
  } catch {
    return 60_000; // The daemon finds the invalid token in its next cycle.
  }
}

/** The Page's token, cached for a minute. */
export class PageToken {
  #token = "";
  #readAt = -Infinity;
  #noCheckBefore = -Infinity;

  constructor(read, askForCheck) {
    this.read = read;
    this.askForCheck = askForCheck;
  }

  /** Return the token, at most a minute old. */
  async get() {
    if (performance.now() - this.#readAt >= CACHE_MS) await this.#readAgain();
    return this.#token;
  }

  /** Return another token than the one that Graph refused; null where there is none. */
  async getOtherThan(refused) {
    await this.#readAgain();
    if (this.#token === refused && performance.now() >= this.#noCheckBefore) {
      this.#noCheckBefore = performance.now() + (await this.askForCheck());
      await this.#readAgain();
    }
    return this.#token === refused ? null : this.#token;
  }

  async #readAgain() {
    this.#token = await this.read();
    this.#readAt = performance.now();
  }
}

/** Return Graph's answer; after error 190 the call is repeated once, with another token. Throws GraphError. */
export async function callGraph(path, pageToken) {
  const token = await pageToken.get();
  let answer = await get(path, token);
  if (answer.error?.code === 190) {
    const other = await pageToken.getOtherThan(token);
    if (other !== null) answer = await get(path, other);
  }
  if (answer.error) throw new GraphError(answer.error.code);
  return answer;
}

async function get(path, token) {
  // In a header, and not in the URL, where proxies would log it.
  const answer = await fetch(`${GRAPH}/${path}`, {
    headers: { Authorization: `Bearer ${token}` },
    signal: AbortSignal.timeout(30_000),
  });
  return answer.json();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const pageToken = new PageToken(env.AWS_SECRET_ID ? readFromAws : readFromVault, askForCheck);
  for await (const line of createInterface({ input: process.stdin })) {
    let result;
    try {
      result = { answer: await callGraph(line.trim(), pageToken) };
    } catch (error) {
      if (!(error instanceof GraphError)) throw error;
      result = { error: error.code, advice: error.message };
    }
    console.log(JSON.stringify(result));
  }
}
