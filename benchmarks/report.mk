# The repository's own report, benchmarks/report: every form of the shipped models, the seed preset, and peers, in one run.
#
#     make -f benchmarks/report.mk DATA=FOLDER
#
# FOLDER holds the sets `paediatric` and `adult`. It needs `pip install '.[train,report,peers]'`, and for the counts of
# ARM instructions a Debian machine with a C compiler; INSTRUCTIONS= leaves them away. Pictures are the phantom's alone.
DATA ?= data
WORK ?= build/report
INSTRUCTIONS ?= $(WORK)/instructions.json
FAMILY := lungs-large lungs-nano lungs
FORMS := float32 float16 dynamic ptq qat
MODELS := $(foreach name,$(FAMILY),$(foreach form,$(FORMS),$(WORK)/$(name).$(form).tflite))

.PHONY: report
report: $(WORK)/.models $(INSTRUCTIONS)
	edge-seg benchmark $(WORK)/seed.float32.tflite $(MODELS) --time-only seed \
		--data $(DATA)/paediatric --data $(DATA)/adult --data phantom \
		--engine litert --engine onnxruntime --engine openvino --threads 1 --threads 2 --repeats 60 \
		$(addprefix --instructions ,$(INSTRUCTIONS)) --pictures phantom --out benchmarks/report

$(WORK)/.models:
	python -m edge_seg_quantize.variants $(FAMILY) seed --data $(DATA)/paediatric --data $(DATA)/adult --out $(WORK)
	touch $@

$(WORK)/instructions.json: $(WORK)/.models
	python -m edge_seg_benchmarks.instructions $(foreach name,$(FAMILY),$(foreach form,float32 qat,$(WORK)/$(name).$(form).tflite)) \
		--work $(WORK)/arm64 --out $@
