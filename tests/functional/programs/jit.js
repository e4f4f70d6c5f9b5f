// SPDX-License-Identifier: GPL-2.0-or-later
// JavaScript that makes V8 compile, deoptimise, collect garbage and start threads; numbers come out.
"use strict";

function fibonacci(n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

function mandelbrot(size) {
    let sum = 0;
    for (let y = 0; y < size; y++) {
        for (let x = 0; x < size; x++) {
            let a = 0, b = 0, n = 0;
            for (; n < 100 && a * a + b * b < 4; n++)
                [a, b] = [a * a - b * b + x / size * 3 - 2, 2 * a * b + y / size * 2 - 1];
            sum += n;
        }
    }
    return sum;
}

// Types that change make optimised code void.
function add(a, b) {
    return a + b;
}

function deoptimise() {
    let n = 0;
    for (let i = 0; i < 200000; i++)
        n = add(n, i & 7);
    let s = "";
    for (let i = 0; i < 1000; i++)
        s = add(s, i % 10);
    for (let i = 0; i < 200000; i++)
        n = add(n, 0.25);
    return [n, s.length, add(1n << 70n, 5n).toString()];
}

// Functions made of text: each is compiled anew.
function generated() {
    let sum = 0;
    for (let i = 0; i < 1500; i++)
        sum += new Function("x", `let s = ${i}; for (let k = 0; k < 50; k++) s = (s * 31 + x + k) | 0; return s;`)(i);
    return sum;
}

function collections() {
    const map = new Map();
    for (let i = 0; i < 150000; i++)
        map.set(`key${i % 5000}`, (map.get(`key${i % 5000}`) || 0) + i);
    const list = [...map.entries()].sort((p, q) => q[1] - p[1] || (p[0] < q[0] ? -1 : 1));
    const text = JSON.stringify(list);
    return [list[0][0], text.length, text.replace(/key(\d)(\d*)/g, "$2$1").length, JSON.parse(text).length];
}

const typed = new Float64Array(100000).map((_, i) => Math.sqrt(i) * Math.fround(1.1));
console.log("fibonacci", fibonacci(27));
console.log("mandelbrot", mandelbrot(200));
console.log("deoptimise", ...deoptimise());
console.log("generated", generated());
console.log("collections", ...collections());
console.log("typed", typed.reduce((a, b) => a + b, 0), typed.sort()[5000]);
const { Worker } = require("worker_threads");
for (let i = 0; i < 2; i++) {
    const worker = new Worker(
        "const { parentPort } = require('worker_threads'); let x = 1; for (let i = 0; i < 3e6; i++) x = (x * 1103515245 + 12345) % 2147483648;" +
        "parentPort.postMessage(x)", { eval: true });
    worker.on("message", (x) => { console.log("worker", x); });
}
