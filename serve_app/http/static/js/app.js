// Starts the page.

import { startBook } from "./book/view.js";
import { find } from "./dom.js";
import { current, setLanguage, whenTranslated } from "./i18n.js";
import { startJobs } from "./jobs/view.js";
import { startRouter } from "./router.js";
import { startSpeak } from "./speak/view.js";
import { startSystem } from "./system/view.js";
import { startTheme } from "./theme.js";
import { startVoiceDialog } from "./voices/dialog.js";

const other = () => (current() === "zh" ? "en" : "zh");

setLanguage(current());
startTheme();
whenTranslated(() => {
  const button = find("language");
  button.lang = other();
  button.textContent = { en: "English", zh: "中文" }[other()];
});
find("language").addEventListener("click", () => setLanguage(other()));
startVoiceDialog();
startSpeak();
startBook();
startJobs();
startSystem();
startRouter();
document.documentElement.dataset.started = "true";
