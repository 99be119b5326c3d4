// The live picture: an <img> that shows the MJPEG stream, and is reloaded when the stream ends.

const RETRY_MS = 3000;
const STILL_MS = 8000; // browsers do not report the end of a stream, so the picture is compared

export class Picture {
  constructor(image) {
    this.image = image;
    this.bare = false;
    this.wanted = false;
    this.retry = 0;
    this.pixels = "";
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
    this.image.src = "data:,"; // closes the connection and removes the picture
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

  // Reload a stream whose picture has not changed although the camera delivers.
  check() {
    if (!this.wanted || !this.image.naturalWidth) return;
    const { width, height } = this.canvas.canvas;
    this.canvas.drawImage(this.image, 0, 0, width, height);
    const pixels = this.canvas.getImageData(0, 0, width, height).data.join();
    const now = performance.now();
    if (pixels !== this.pixels) [this.pixels, this.changedAt] = [pixels, now];
    else if (now - this.changedAt > STILL_MS) this.restart();
  }
}
