// The part of plotly.js that the report needs, scatter and heat map, which a browser starts three times as fast as the
// cartesian bundle. plotly.min.js.gz is made of this file, in a folder with a copy of it:
//   npm install plotly.js@4.1.1 esbuild@0.28.2
//   npx esbuild plotly.js --bundle --minify --format=iife --global-name=Plotly --target=es2018 --define:global=window --outfile=plotly.min.js
//   zopfli plotly.min.js   (or gzip -9, which is 3 % larger)
"use strict";
const Plotly = require("plotly.js/lib/core");
Plotly.register([require("plotly.js/lib/heatmap")]);
module.exports = Plotly;
