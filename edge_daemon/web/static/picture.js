// The live picture: an <img> on the MJPEG stream, started anew when it stands still.

const RETRY_MS = 3000;
const STILL_MS = 8000; // a browser says nothing when a stream ends: judge by the picture

export class Picture {
  constructor(image) {
    this.image = image;
    this.bare = false;
    this.wanted = false;
    this.retry = 0;
    this.look = "";
    this.changedAt = 0;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [32, 24];
    this.canvas = canvas.getContext("2d", { willReadFrequently: true });
    image.addEventListener("error", () => {
      if (!this.wanted) return;
      clearTimeout(this.retry);
      this.retry = setTimeout(() => this.restart(), RETRY_MS);
    });
  }

  start() {
    this.wanted = true;
    this.restart();
  }

  stop() {
    this.wanted = false;
    clearTimeout(this.retry);
    this.image.src = "data:,"; // ends the connection, which the last picture outlives not
    this.image.removeAttribute("src");
  }

  setBare(bare) {
    this.bare = bare;
    if (this.wanted) this.restart();
  }

  restart() {
    clearTimeout(this.retry);
    this.changedAt = performance.now();
    const overlay = this.bare ? "overlay=0&" : "";
    this.image.src = `stream.mjpg?${overlay}t=${Date.now()}`;
  }

  // Restart a stream whose picture has stood still although the camera delivers.
  watch() {
    if (!this.wanted || !this.image.naturalWidth) return;
    const { width, height } = this.canvas.canvas;
    this.canvas.drawImage(this.image, 0, 0, width, height);
    const look = this.canvas.getImageData(0, 0, width, height).data.join();
    const now = performance.now();
    if (look !== this.look) [this.look, this.changedAt] = [look, now];
    else if (now - this.changedAt > STILL_MS) this.restart();
  }
}
