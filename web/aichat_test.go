package web_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"icomet/server/servertest"
	"icomet/web/internal/browser"
)

const aiChat = "../examples/ai-chat"

// startAIChat starts the example with an icomet-server that has the example's
// configuration. What is written to model is what the model answers, a word a line.
func startAIChat(t *testing.T) (s *servertest.Server, url string, model io.Writer) {
	t.Helper()
	if _, err := os.Stat(aiChat + "/node_modules"); err != nil {
		t.Skip("the AI SDK is not there: make test-needs gets it from npm")
	}
	s = servertest.StartWith(t, aiChat+"/icomet.toml")
	dir, err := filepath.Abs(aiChat)
	if err != nil {
		t.Fatal(err)
	}
	app := exec.Command("node", dir+"/server.mjs")
	app.Env = append(os.Environ(), "MODEL=stdin", "PORT=0", "FRONT="+s.Front, "ADMIN="+s.Admin)
	output := new(servertest.Output)
	app.Stdout = output
	model, err = app.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	process := servertest.Launch(t, app)
	servertest.CheckFor(t, servertest.Patience, func() error {
		var found bool
		if _, url, found = strings.Cut(strings.TrimSpace(output.String()), "listening on "); !found {
			return fmt.Errorf("does not listen: %s%s", output, process.Log)
		}
		return nil
	})
	return s, url, model
}

// TestAIChat: an answer of the AI SDK comes through the server, word by word. It survives
// a reload of the page and restarts of the server in the middle, of which one is a kill -9,
// so that the channel is lost.
func TestAIChat(t *testing.T) {
	t.Parallel()
	s, url, model := startAIChat(t)
	p := browser.Start(t).Open(t, url+"/#a")
	say := func(words string) {
		t.Helper()
		if _, err := io.WriteString(model, strings.ReplaceAll(words, " ", "\n")+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	want := func(messages ...string) {
		t.Helper()
		p.Want("[...document.querySelectorAll('.user, .assistant')].map(e => e.textContent.trim())", js(messages))
	}
	ask := func(question string) {
		t.Helper()
		p.Want("document.querySelector('.status').textContent", `"ready"`)
		p.Click("document.querySelector('input')")
		p.Type(question)
		p.Press("Enter")
	}

	ask("Who are you?")
	say("I am")
	want("Who are you?", "I am")
	p.Run("location.reload()")
	want("Who are you?", "I am")
	say("not a")
	want("Who are you?", "I am not a")
	s.Kill()
	s.Restart()
	say("model, but")
	want("Who are you?", "I am not a model, but")
	s.Stop()
	s.Restart()
	say("a test.")
	want("Who are you?", "I am not a model, but a test.")
	p.Want("document.querySelector('.status').textContent", `"streaming"`)
	say("")
	p.Want("document.querySelector('.status').textContent", `"ready"`)
	want("Who are you?", "I am not a model, but a test.")

	p.Run("location.reload()")
	want("Who are you?", "I am not a model, but a test.")
	ask("And now?")
	say("Goodbye. ") // and the end
	want("Who are you?", "I am not a model, but a test.", "And now?", "Goodbye.")
	p.Want("document.querySelector('.status').textContent", `"ready"`)
	if m := withoutNetworkErrors(p.Mistakes()); len(m) > 0 {
		t.Errorf("errors in the page: %q", m)
	}
}
