"""The look of the page: no font, no image and nothing else from anywhere."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --text: #1b1f27; --quiet: #566072;
  --line: #d5dae3; --accent: #1f5fbf; --code: #eef1f6;
  --get: #1f5fbf; --post: #1d6b41; --on-method: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171c; --card: #1d2128; --text: #e8ebf0; --quiet: #a9b3c3;
    --line: #3a4250; --accent: #8ab4f8; --code: #2a303a;
    --get: #8ab4f8; --post: #7fd1a3; --on-method: #10151d;
  }
}
*, ::before, ::after { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 1rem/1.55 system-ui, "DejaVu Sans", sans-serif; overflow-wrap: anywhere;
}
.skip { position: absolute; left: -100vw; }
.skip:focus { left: 1rem; top: 0.5rem; padding: 0.5rem 1rem; background: var(--card); }
header, main, nav { max-width: 52rem; margin: 0 auto; padding: 1rem 1.25rem; }
h1 { margin: 0.5rem 0; font-size: 1.8rem; line-height: 1.25; }
h2 { margin: 2.5rem 0 0.25rem; font-size: 1.4rem; }
h3 { margin: 0 0 0.5rem; font-size: 1.05rem; font-weight: 600; }
h4 { margin: 1.25rem 0 0.25rem; font-size: 0.95rem; }
p { margin: 0 0 0.75rem; }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
nav ul { display: grid; gap: 0.25rem 1.5rem; margin: 0; padding: 0; list-style: none; }
nav li { display: grid; grid-template-columns: 3.5rem 1fr; gap: 0.6rem; align-items: baseline; }
nav h2 { margin-top: 1.25rem; font-size: 1rem; }
@media (min-width: 44rem) { nav ul { grid-template-columns: 1fr 1fr; } }
.quiet { color: var(--quiet); }
article, .card {
  margin: 1rem 0; padding: 1rem 1.25rem; border: 1px solid var(--line); border-radius: 0.6rem;
  background: var(--card);
}
article > p:last-child, .card > p:last-child { margin-bottom: 0; }
article h3 { display: flex; flex-wrap: wrap; gap: 0.25rem 0.6rem; align-items: baseline; }
.method {
  padding: 0.1rem 0.5rem; border-radius: 0.3rem; color: var(--on-method); font-size: 0.75rem;
  font-weight: 700; letter-spacing: 0.03em; text-align: center; white-space: nowrap;
}
.get { background: var(--get); }
.post { background: var(--post); }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.9em; }
code { padding: 0.05rem 0.25rem; border-radius: 0.25rem; background: var(--code); }
h3 code, nav code { padding: 0; background: none; }
pre {
  margin: 0.5rem 0 0; padding: 0.75rem 1rem; border-radius: 0.4rem; background: var(--code);
  white-space: pre-wrap;
}
dl { display: grid; grid-template-columns: minmax(0, 15rem) minmax(0, 1fr); margin: 0; }
dt, dd { padding: 0.4rem 0; border-top: 1px solid var(--line); }
dt { padding-right: 1.25rem; }
dd { min-width: 0; margin: 0; }
@media (max-width: 36rem) {
  dl { grid-template-columns: 1fr; }
  dt { padding-bottom: 0; }
  dd { padding-top: 0; border-top: 0; }
}
"""
