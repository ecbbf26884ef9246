package packaging

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"icomet/internal/version"
	"icomet/server/config"
	"icomet/server/servertest"
)

// object is a mapping of a YAML file.
type object = map[string]any

// at goes down by keys and by numbers of a list.
func at(t *testing.T, v any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := v.(object)
			next, ok := m[step]
			if !ok {
				t.Fatalf("there is no %v of %v", step, path)
			}
			v = next
		case int:
			list, _ := v.([]any)
			if step >= len(list) {
				t.Fatalf("there is no element %d of %v", step, path)
			}
			v = list[step]
		}
	}
	return v
}

// documents are those of a YAML file. A key that stands twice is an error.
func documents(t *testing.T, name string) (all []object) {
	t.Helper()
	for in := yaml.NewDecoder(strings.NewReader(read(t, name))); ; {
		var doc object
		err := in.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all = append(all, doc)
	}
}

// configured is the configuration of a container with these variables: config.toml, the
// server's own reading of it, without a warning.
func configured(t *testing.T, environ []string) config.Config {
	t.Helper()
	c, warnings, err := config.Load("../config.toml", environ)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%v, %q", err, warnings)
	}
	return c
}

// leaves is the longest that the server takes to leave, with what config.toml asks of a
// supervisor besides.
func leaves(c *config.Config) time.Duration {
	return time.Duration(c.Limits.DrainDelay) + time.Duration(c.Limits.DrainTimeout) + 2*time.Second
}

func port(t *testing.T, listen string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// dockerfile has the words of each instruction, by its name.
func dockerfile(t *testing.T) map[string][][]string {
	t.Helper()
	all := map[string][][]string{}
	for line := range strings.Lines(read(t, "container/Dockerfile")) {
		words := strings.Fields(regexp.MustCompile(`[\[\]",]`).ReplaceAllString(line, " "))
		if len(words) > 0 && !strings.HasPrefix(words[0], "#") {
			all[words[0]] = append(all[words[0]], words[1:])
		}
	}
	return all
}

func TestDockerfile(t *testing.T) {
	t.Parallel()
	d := dockerfile(t)
	c := config.Default()
	for instruction, want := range map[string]string{
		"FROM": "scratch", "USER": "65532:65532", "ENTRYPOINT": "/usr/bin/icomet-server", "CMD": "/etc/icomet/config.toml",
		"EXPOSE": port(t, c.Front.Listen) + " " + port(t, c.Admin.Listen),
	} {
		if got := d[instruction]; len(got) != 1 || strings.Join(got[0], " ") != want {
			t.Errorf("%s is %q, want %s", instruction, got, want)
		}
	}
	// Docker's stop time, if nobody sets one.
	if d := leaves(&c); d > 10*time.Second {
		t.Errorf("a server with the defaults leaves in %v, and Docker waits for 10 s", d)
	}
}

func TestCompose(t *testing.T) {
	t.Parallel()
	docs := documents(t, "container/compose.yaml")
	if len(docs) != 1 {
		t.Fatalf("%d documents", len(docs))
	}
	service := at(t, docs[0], "services", "icomet")
	var environ []string
	for name, value := range at(t, service, "environment").(object) {
		environ = append(environ, name+"="+value.(string))
	}
	c := configured(t, environ)
	stop, err := time.ParseDuration(at(t, service, "stop_grace_period").(string))
	if err != nil || stop <= leaves(&c) {
		t.Errorf("stop_grace_period is %v (%v), and the server leaves in %v", stop, err, leaves(&c))
	}
	front, admin := port(t, c.Front.Listen), port(t, c.Admin.Listen)
	if got, want := at(t, service, "ports"), []any{front + ":" + front, "127.0.0.1:" + admin + ":" + admin}; !slices.Equal(got.([]any), want) {
		t.Errorf("ports are %v, want %v", got, want)
	}
	host, _, _ := strings.Cut(c.Engine.Redis.Address[0], ":")
	at(t, docs[0], "services", host)
	at(t, service, "depends_on", host, "condition")
	if _, err := exec.Command("docker", "compose", "version").Output(); err != nil {
		t.Log("docker compose is not installed")
		return
	}
	run(t, "docker", "compose", "-f", "container/compose.yaml", "config", "--quiet")
}

// TestKubernetes: the objects fit together, and to the server.
func TestKubernetes(t *testing.T) {
	t.Parallel()
	kinds := map[string]object{} // by kind and name
	for _, doc := range documents(t, "container/kubernetes.yaml") {
		kinds[at(t, doc, "kind").(string)+" "+at(t, doc, "metadata", "name").(string)] = doc
	}
	want := []string{"Deployment icomet", "PodDisruptionBudget icomet", "Secret icomet", "Service icomet", "Service icomet-admin", "ServiceMonitor icomet"}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	template := at(t, kinds["Deployment icomet"], "spec", "template")
	pod, container := at(t, template, "spec"), at(t, template, "spec", "containers", 0)

	var environ []string
	for i := range at(t, container, "env").([]any) {
		environ = append(environ, at(t, container, "env", i, "name").(string)+"="+at(t, container, "env", i, "value").(string))
	}
	c := configured(t, environ)
	if grace := time.Duration(at(t, pod, "terminationGracePeriodSeconds").(int)) * time.Second; grace <= leaves(&c) {
		t.Errorf("terminationGracePeriodSeconds is %v, and the server leaves in %v", grace, leaves(&c))
	}
	// Within the delay a readiness probe has seen it.
	if seen := at(t, container, "readinessProbe", "periodSeconds").(int) * at(t, container, "readinessProbe", "failureThreshold").(int); time.Duration(c.Limits.DrainDelay) <= time.Duration(seen)*time.Second {
		t.Errorf("drain_delay is %v, and a probe may take %d s to see it", time.Duration(c.Limits.DrainDelay), seen)
	}
	if got := at(t, container, "image"); got != "icomet:"+version.Release {
		t.Errorf("the image is %v, the release %s", got, version.Release)
	}

	front, admin := at(t, container, "ports", 0), at(t, container, "ports", 1)
	for _, p := range []struct {
		of           any
		name, listen string
	}{{front, "front", c.Front.Listen}, {admin, "admin", c.Admin.Listen}} {
		if at(t, p.of, "name") != p.name || fmt.Sprint(at(t, p.of, "containerPort")) != port(t, p.listen) {
			t.Errorf("%v is not %s", p.of, p.listen)
		}
	}
	labels := at(t, template, "metadata", "labels").(object)
	for name, target := range map[string]string{"Service icomet": "front", "Service icomet-admin": "admin"} {
		if got := at(t, kinds[name], "spec", "ports", 0, "targetPort"); got != target {
			t.Errorf("%s goes to %v", name, got)
		}
		if got := at(t, kinds[name], "spec", "selector").(object); !maps.Equal(got, labels) {
			t.Errorf("%s selects %v, the pods have %v", name, got, labels)
		}
	}
	for _, got := range []any{
		at(t, kinds["Deployment icomet"], "spec", "selector", "matchLabels"), at(t, kinds["PodDisruptionBudget icomet"], "spec", "selector", "matchLabels"),
	} {
		if !maps.Equal(got.(object), labels) {
			t.Errorf("%v is selected, the pods have %v", got, labels)
		}
	}
	checkMonitor(t, kinds, container, &c)
	checkProbes(t, container, &c)
}

func checkMonitor(t *testing.T, kinds map[string]object, container any, c *config.Config) {
	t.Helper()
	monitor := kinds["ServiceMonitor icomet"]
	if got, want := at(t, monitor, "spec", "selector", "matchLabels"), at(t, kinds["Service icomet-admin"], "metadata", "labels"); !maps.Equal(got.(object), want.(object)) {
		t.Errorf("the ServiceMonitor selects %v, the Service has %v", got, want)
	}
	if got, want := at(t, monitor, "spec", "endpoints", 0, "port"), at(t, kinds["Service icomet-admin"], "spec", "ports", 0, "name"); got != want {
		t.Errorf("the ServiceMonitor reads port %v, the Service has %v", got, want)
	}

	key := at(t, monitor, "spec", "endpoints", 0, "authorization", "credentials", "key").(string)
	at(t, kinds["Secret icomet"], "stringData", key)
	if want := at(t, container, "volumeMounts", 0, "mountPath").(string) + "/" + key; c.Admin.KeysFile != want {
		t.Errorf("keys_file is %s, the key is in %s", c.Admin.KeysFile, want)
	}
}

func checkProbes(t *testing.T, container any, c *config.Config) {
	t.Helper()
	health := dockerfile(t)["HEALTHCHECK"][0]
	health = health[slices.Index(health, "CMD")+1:]
	for probe, want := range map[string][]string{
		"startupProbe": health, "readinessProbe": health,
		"livenessProbe": {health[0], "-health", "http://127.0.0.1:" + port(t, c.Admin.Listen) + "/healthz"},
	} {
		var got []string
		for i := range at(t, container, probe, "exec", "command").([]any) {
			got = append(got, at(t, container, probe, "exec", "command", i).(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s runs %q, want %q", probe, got, want)
		}
	}
}

// testImage lays the image out as the Dockerfile says, and runs it as a container is run,
// as far as that goes without an engine: in a root with nothing else, as its user.
func testImage(t *testing.T, dist string) {
	d, root := dockerfile(t), filepath.Join(t.TempDir(), "root")
	for _, files := range d["COPY"] {
		target := root + files[len(files)-1]
		for _, file := range files[:len(files)-1] {
			file = filepath.Join(dist, "container", strings.ReplaceAll(file, "${TARGETPLATFORM}", "linux/"+runtime.GOARCH))
			to := target
			if strings.HasSuffix(target, "/") {
				to += filepath.Base(file)
			}
			run(t, "install", "-D", "-m", modeOf(t, file), file, to)
		}
	}
	words := append([]string{"--userspec=" + d["USER"][0][0], root}, d["ENTRYPOINT"][0]...)
	cmd := exec.Command("chroot", append(words, d["CMD"][0]...)...)
	cmd.Env = []string{"ICOMET_FRONT_LISTEN=127.0.0.1:0", "ICOMET_ADMIN_LISTEN=127.0.0.1:0"}
	p := servertest.Launch(t, cmd)
	checkFirstMessage(t, p)
	health := d["HEALTHCHECK"][0]
	cmd = exec.Command("chroot", append(words[:2:2], health[slices.Index(health, "CMD")+1:]...)...)
	cmd.Env = []string{"ICOMET_ADMIN_LISTEN=" + p.Address("admin")}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the health check: %v\n%s", err, out)
	}
}

func modeOf(t *testing.T, file string) string {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode()&0o111 != 0 {
		return "755"
	}
	return "644"
}

// reader builds the command of a folder that is a module of its own.
func reader(t *testing.T, folder string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), folder)
	build := exec.Command("go", "-C", folder, "build", "-o", path, ".")
	build.Env = append(os.Environ(), "GOPROXY=off") // make package-test-needs has loaded its modules
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// TestComposeLoader reads compose.yaml as Compose does.
func TestComposeLoader(t *testing.T) {
	if os.Getenv("ICOMET_PACKAGES") != "full" {
		t.Skip("make package-test runs it")
	}
	t.Parallel()
	compose := reader(t, "compose")
	text := read(t, "container/compose.yaml")
	for name, c := range map[string]struct{ old, now, want string }{
		"as it is":            {want: "icomet icomet\nicomet redis\n"},
		"a field misspelt":    {"stop_grace_period", "stop_grace_time", "stop_grace_time"},
		"a wrong type":        {"restart: unless-stopped", "restart: [always]", "restart must be a string"},
		"no such service":     {"      redis:\n        condition", "      rediss:\n        condition", "rediss"},
		"a volume undeclared": {"\nvolumes:\n  redis: {}", "", "undefined volume redis"},
	} {
		path := filepath.Join(t.TempDir(), "compose.yaml")
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, c.old, c.now)), 0o600); err != nil {
			t.Fatal(err)
		}
		if c.old == "" {
			path = "container/compose.yaml"
		}
		out, err := exec.Command(compose, path).CombinedOutput()
		if (err == nil) != (c.old == "") || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestKubernetesTypes reads the manifests as the types that Kubernetes declares.
func TestKubernetesTypes(t *testing.T) {
	if os.Getenv("ICOMET_PACKAGES") != "full" {
		t.Skip("make package-test runs it")
	}
	t.Parallel()
	types := reader(t, "kubernetes")
	manifests := read(t, "container/kubernetes.yaml")
	for name, c := range map[string]struct{ old, now, want string }{
		"as it is":         {want: "v1 Secret\napps/v1 Deployment\nv1 Service\nv1 Service\npolicy/v1 PodDisruptionBudget\nmonitoring.coreos.com/v1 ServiceMonitor\n"},
		"a field misspelt": {"terminationGracePeriodSeconds", "terminationGracePeriod", `unknown field "terminationGracePeriod"`},
		"a wrong type":     {"maxUnavailable: 1", "maxUnavailable: [1]", "cannot unmarshal array"},
		"another kind":     {"kind: Deployment", "kind: Deploiment", "is of no kind"},
	} {
		cmd := exec.Command(types)
		cmd.Stdin = strings.NewReader(strings.ReplaceAll(manifests, c.old, c.now))
		if c.old == "" {
			cmd.Stdin = strings.NewReader(manifests)
		}
		out, err := cmd.CombinedOutput()
		if (err == nil) != (c.old == "") || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}
