// The live picture: asks for the next frame when the last one is drawn, so it is never behind and skips by itself.

export class Live {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d", { alpha: false, desynchronized: true });
    this.running = false;
    this.number = -1;
    this.drawnAt = 0;
  }

  start() {
    if (this.running) return;
    this.running = true;
    this.number = -1;
    this.loop();
  }

  stop() {
    this.running = false;
    this.asking?.abort();
  }

  // A small copy of what is on the screen, to show before the kept picture's own thumbnail is there
  snapshot(width = 240) {
    const copy = document.createElement("canvas");
    copy.width = width;
    copy.height = Math.max(1, Math.round((width * this.canvas.height) / Math.max(1, this.canvas.width)));
    copy.getContext("2d").drawImage(this.canvas, 0, 0, copy.width, copy.height);
    return copy;
  }

  async loop() {
    while (this.running) {
      if (document.hidden) {
        await pause(200);
        continue;
      }
      try {
        this.asking = new AbortController();
        const width = Math.ceil(this.canvas.clientWidth * devicePixelRatio) || 640;
        const answer = await fetch(`api/live.jpg?width=${width}&after=${this.number}`, { signal: this.asking.signal });
        if (answer.status === 200) await this.draw(answer);
        else if (!answer.ok) await pause(500);
        else await pause(50); // there was no other picture in time
      } catch {
        if (this.running) await pause(500); // the strip and the stage say that the station is silent
      }
    }
  }

  async draw(answer) {
    const picture = await createImageBitmap(await answer.blob());
    if (this.running) {
      if (this.canvas.width !== picture.width || this.canvas.height !== picture.height) {
        this.canvas.width = picture.width;
        this.canvas.height = picture.height;
      }
      this.pen.drawImage(picture, 0, 0);
      this.number = Number(answer.headers.get("x-frame"));
      this.drawnAt = performance.now();
      this.canvas.dataset.frame = this.number;
    }
    picture.close();
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
