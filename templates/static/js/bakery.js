import { startDialogs } from "./confirm.js";
import { startCopying } from "./copy.js";
import { startLive } from "./live.js";
import { startNavigation } from "./navigation.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./times.js";
import { startUploads } from "./uploads.js";

startTheme();
startNavigation();
startDialogs();
startCopying();
startTimes();
startLive();
startUploads();
