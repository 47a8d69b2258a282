// Drives lakeFS's web interface in a browser, through lakegate: repositories, objects, upload, commit, diff; a screenshot of each page.
//
//   node ui.mjs URL MODE REPOSITORY FOLDER
//
// UI_KEY, UI_SECRET: the keys to log in with (passthrough); UI_COOKIE: a session cookie (login); CHROMIUM_BIN: the browser.
//
// Prints one line a step, and at the end every request that was answered with 400 or more. Exit code 1 if a step failed.
import { createRequire } from "node:module";
import path from "node:path";
import process from "node:process";

const [url, mode, repository, folder] = process.argv.slice(2);
const { chromium } = createRequire(path.join(process.cwd(), "node_modules/"))("playwright-core");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM_BIN ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
page.setDefaultTimeout(30_000);
const refused = [];
page.on("response", (answer) => answer.status() >= 400 && refused.push(`${answer.status()} ${answer.request().method()} ${new URL(answer.url()).pathname}`));

let number = 0;
async function step(name, act) {
  await act();
  await page.waitForLoadState("networkidle");
  await page.screenshot({ path: path.join(folder, `${mode}-${++number}-${name.replaceAll(" ", "-")}.png`) });
  console.log(`${mode}: ${name}`);
}

const button = (name, exact = true) => page.getByRole("button", { name, exact });
const shown = (locator) => locator.first().waitFor({ state: "visible" });
const branch = `${url}/repositories/${repository}/objects?ref=work`;

try {
  if (mode === "login") {
    const [name, ...value] = process.env.UI_COOKIE.split("=");
    await page.context().addCookies([{ name, value: value.join("="), url, httpOnly: true, sameSite: "Lax" }]);
  }
  await page.goto(url);
  if (mode === "login") {
    await step("repositories without a login page", () => shown(page.getByRole("link", { name: repository, exact: true })));
    if (page.url().includes("login")) throw new Error(`a login page: ${page.url()}`);
  } else {
    await step("login page", () => shown(page.getByPlaceholder("Access Key ID")));
    const logIn = async (secret) => {
      await page.getByPlaceholder("Access Key ID").fill(process.env.UI_KEY);
      await page.getByPlaceholder("Secret Access Key").fill(secret);
      await button("Login").click();
    };
    await step("wrong secret", async () => {
      await logIn("wrong");
      await shown(page.getByText("The credentials don't match."));
    });
    await step("repositories", async () => {
      await logIn(process.env.UI_SECRET);
      await shown(page.getByRole("link", { name: repository, exact: true }));
    });
    if (!(await page.context().cookies()).some((cookie) => cookie.name === "internal_auth_session" && cookie.httpOnly)) throw new Error("no session cookie");
  }
  await step("objects", async () => {
    await page.getByRole("link", { name: repository, exact: true }).click();
    await shown(page.getByRole("cell", { name: "README.md" }));
  });
  await step("an object", async () => {
    await page.goto(`${url}/repositories/${repository}/object?ref=main&path=README.md`);
    await shown(page.getByText("Through the gateway"));
  });
  await step("upload", async () => {
    await page.goto(branch);
    await button("Upload").click();
    await page.getByText("Drag & drop files or folders here").click();
    await page.locator('input[type="file"]').setInputFiles({ name: "from browser.txt", mimeType: "text/plain", buffer: Buffer.from("uploaded in a browser\n".repeat(1000)) });
    await button("Upload 1 File").click();
    await shown(page.getByRole("cell", { name: "from browser.txt" }));
  });
  await step("uncommitted changes", async () => {
    await page.goto(branch);
    await button("Uncommitted Changes", false).first().click();
    await shown(page.getByText("Showing 1 change for branch"));
  });
  await step("commit", async () => {
    await button("Commit Changes").click();
    await page.getByPlaceholder("Commit Message").fill("committed in a browser");
    await page.getByRole("dialog").getByRole("button", { name: "Commit" }).click();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.goto(`${url}/repositories/${repository}/commits?ref=work`);
    await shown(page.getByText("committed in a browser"));
  });
  await step("diff", async () => {
    await page.goto(`${url}/repositories/${repository}/compare?ref=main&compare=work`);
    await shown(page.getByText("from browser.txt"));
  });
  await step("merge", async () => {
    await button("Merge").click();
    await page.getByRole("dialog").getByRole("button", { name: "Merge" }).click();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.goto(`${url}/repositories/${repository}/objects?ref=main`);
    await shown(page.getByRole("cell", { name: "from browser.txt" }));
  });
} catch (error) {
  await page.screenshot({ path: path.join(folder, `${mode}-failed.png`) });
  console.log(`${mode}: FAILED at ${page.url()}: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const line of new Set(refused)) console.log(`${mode}: ${line}`);
  await browser.close();
}
