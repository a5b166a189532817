package devora

import "runtime"

// Version is the version of this module.
const Version = "1.0.0"

func userAgent() string {
	return "devora-go/" + Version + " go/" + goVersion() + " " + runtime.GOOS
}

func goVersion() string {
	version := runtime.Version()
	if len(version) > 2 && version[:2] == "go" {
		return version[2:]
	}
	return version
}
