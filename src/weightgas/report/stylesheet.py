"""The look of a report: dark text on white, one column, tables that scroll by themselves on a narrow screen."""

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0; background: #fff; color: #1a1a1a;
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
header, main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 1.75rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 2.6rem 0 .6rem; padding-top: .8rem; border-top: 1px solid #d5d5d5;
     overflow-wrap: anywhere; }
p { margin: .55rem 0; max-width: 48rem; }
ul.summary { padding-left: 1.2rem; margin: .4rem 0; max-width: 52rem; }
ul.summary li { margin: .15rem 0; }
nav ul { columns: 2 16rem; padding-left: 1.2rem; }
a { color: #004f80; }
.scroll { overflow-x: auto; margin: .9rem 0 1.2rem; }
table { border-collapse: collapse; font-size: .875rem; line-height: 1.4; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .2rem 0 .35rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid #e4e4e4; }
thead th { border-bottom: 1.5px solid #555; font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: 600; max-width: 17rem; }
td.number { white-space: nowrap; }
table.verdict { font-size: .92rem; width: 100%; }
table.verdict td { min-width: 10rem; }
table.verdict small { display: block; color: #444; font-size: .8rem; margin-top: .1rem; }
tr.group th { background: #f2f2f2; padding-left: .4rem; max-width: none; border-bottom: 1px solid #ccc; }
.answer { display: inline-block; font-weight: 700; padding: 0 .5rem; border-radius: .25rem; border: 1px solid; }
.answer.yes { color: #004d36; background: #d9f2e8; border-color: #009e73; }
.answer.no { color: #7a2e00; background: #fde5d4; border-color: #d55e00; }
.answer.undecided { color: #3d3d3d; background: #ececec; border-color: #8a8a8a; }
figure { margin: 1.6rem 0; }
figure img { max-width: 100%; height: auto; display: block; }
figcaption { max-width: 48rem; font-size: .9rem; color: #333; margin-top: .35rem; }
.level { font-weight: 700; }
.notes { color: #333; font-size: .9rem; padding-left: 1.2rem; max-width: 52rem; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: #004f80; }
pre { background: #f5f5f5; padding: .7rem .9rem; overflow-x: auto; font-size: .82rem; line-height: 1.45; }
dl.glossary { display: grid; grid-template-columns: minmax(9rem, max-content) 1fr; gap: .25rem 1.2rem; }
dl.glossary dt { font-weight: 600; }
dl.glossary dd { margin: 0; }
footer { color: #555; font-size: .85rem; padding-bottom: 2.5rem; margin-top: 2.5rem; }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  table.verdict, table.verdict tbody, table.verdict tr, table.verdict td, table.verdict th { display: block; }
  table.verdict thead { display: none; }
  table.verdict caption { display: block; }
  table.verdict td::before { content: attr(data-label) ": "; font-weight: 600; }
  table.verdict tbody th { max-width: none; border-bottom: none; padding-top: .8rem; }
  dl.glossary { grid-template-columns: 1fr; }
  dl.glossary dd { margin-bottom: .5rem; }
}
@media print { details > summary { display: none; } h2 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""
