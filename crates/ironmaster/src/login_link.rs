//! `ironmaster login-link`.

use std::path::Path;

use crate::{admin, catalogue, failure::Failure};

pub(crate) fn run(config: &Path) -> Result<(), Failure> {
    let settings = catalogue::load(config)?.settings;
    if !settings.state_dir.is_dir() {
        return Err(Failure::Failed {
            message: format!("there is no state directory {} yet", settings.state_dir.display()),
            hint: Some(format!(
                "start the master first: ironmaster start {}",
                config.display()
            )),
        });
    }
    let (token, _) = admin::token(&settings.state_dir)?;
    println!("{}", admin::login_link(&settings, &token));
    Ok(())
}
