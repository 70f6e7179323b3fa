//! The bundled UI is embedded from `web/dist`. Where it was not built, a page that says how to build it is embedded
//! instead, so that the program itself never needs Node to compile.

use std::{env, fs, path::Path};

fn main() {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../web/dist");
    // A path that is missing would count as changed with every build: an empty folder (git ignores it) does not.
    let _ = fs::create_dir_all(&dist);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", dist.display());
    let ui = if dist.join("index.html").is_file() {
        dist.canonicalize().expect("it is there")
    } else {
        let placeholder = Path::new(&env::var("OUT_DIR").expect("cargo sets it")).join("ui");
        fs::create_dir_all(&placeholder).expect("OUT_DIR can be written");
        fs::write(placeholder.join("index.html"), PAGE).expect("OUT_DIR can be written");
        placeholder
    };
    println!("cargo::rustc-env=IRONMASTER_UI={}", ui.display());
}

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<head><meta charset=\"utf-8\"><title>Ironmaster</title><!-- BUILDBOT_CONFIG_PLACEHOLDER --></head>
<body>
<h1>Ironmaster</h1>
<p>This master runs, but it was compiled without its pages. Build them with
<code>npm ci &amp;&amp; npm run build</code> in the folder <code>web</code> and compile again
(<code>make demo</code> does both), or set <code>ui_dir</code>.</p>
<p>The API is there: <a href=\"api/v2/builders\">api/v2/builders</a>.</p>
</body>
</html>
";
