package build_test

import (
	"testing"

	"github.com/sealyard/sealyard/build"
)

func TestBuildsWithRunSteps(t *testing.T) {
	dir := files(t, map[string]string{"Dockerfile": lines(
		"FROM scratch", "COPY tool /tool", `RUN ["/tool","write","/hello","world"]`, `ENTRYPOINT ["/tool"]`)})
	r, _ := mustBuild(t, build.Plan{Context: dir, Engine: newEngine(t)})
	if len(r.Manifests) != 1 || r.Manifests[0].Platform != "linux/amd64" || len(r.Manifests[0].Provenance) == 0 {
		t.Fatalf("%+v", r)
	}
}
